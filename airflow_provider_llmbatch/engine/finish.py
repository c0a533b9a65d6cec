"""Every record's row, in input order, and what all of it took."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.outputs import header
from airflow_provider_llmbatch.core.results import NO_USAGE
from airflow_provider_llmbatch.core.rows import ATTEMPTS, Answer, Row, Totals, best, usage_of
from airflow_provider_llmbatch.engine.bill import Bill, iso, text
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.landing import is_straight, landing_of, with_key
from airflow_provider_llmbatch.engine.reuse.keep import keep_answers
from airflow_provider_llmbatch.engine.reuse.landing import Line, asked_lines
from airflow_provider_llmbatch.engine.till import NOTHING, Till
from airflow_provider_llmbatch.engine.twins import SharedAnswers, twins_of
from airflow_provider_llmbatch.engine.verdicts import all_answers, answers_of, key_in, record_lines
from airflow_provider_llmbatch.exceptions import IncompleteError, LLMBatchError, ManifestError
from airflow_provider_llmbatch.storage.layout import FAILED, SUMMARY
from airflow_provider_llmbatch.storage.tables import writing
from airflow_provider_llmbatch.storage.tables.columns import Columns, promised
from airflow_provider_llmbatch.storage.tables.lines import Write, jsonl

RUN = 128
"""Rows that are looked at together."""

_encode = msgspec.json.Encoder().encode


def finish(job: Job, *, status: str = "completed") -> dict[str, Any]:
    """Write the output, the failed rows and the summary; return the summary.

    Doing it again writes the same bytes: it reads nothing but the job's own files.

    :param status: What the summary says; ``"capped"``: another round is left out, as it would cost too much.
    :raises IncompleteError: Too few rows are good. The output is written all the same.
    """
    output_uri = job.terms.output_uri or f"{job.folder.uri}/output.jsonl"
    totals = Totals()
    till = Till(job)
    files = job.folder.files
    columns = job.manifest.rounds[0].prepared.columns or []
    reused = job.manifest.reused
    thinks = any(shard.tally.thinking for shard in job.manifest.shards if shard.tally)
    thinks = thinks or bool(reused and reused.thinking)
    table = Columns(header(columns, thinks), promised(job.question))
    with ExitStack() as stack:
        output = stack.enter_context(writing(output_uri, table, job.spec.job_id))
        failed = stack.enter_context(jsonl(stack.enter_context(files.landing(FAILED)), syncs=files.syncs))
        if is_straight(job) and not thinks:
            bad = _land(job, till, totals, output)
        else:
            asked = asked_lines(job, output, totals, thinks)
            bad = _write(_rows(job, asked, till, stack.enter_context(SharedAnswers(job))), totals, output, thinks)
        for row in bad:
            with_attempts = row.as_columns(thinks) | {ATTEMPTS: [attempt.in_short() for attempt in row.attempts]}
            failed([row.own], [_encode(with_attempts) + b"\n"])
        job.prices.keep()  # before the output is there: who writes it again finds the same
    keep_answers(job)
    bill = Bill(job, till)
    summary = _summary(job, totals, till, bill.discount(), output_uri) | {"status": status}
    _keep_summary(job, summary, bill)
    _judge(job, totals, output_uri)
    _tidy(job)
    return summary


def _land(job: Job, till: Till, totals: Totals, output: Write) -> Iterator[Row]:
    """Write every record's row. Most were made when their answers were read; of the others, yield those not good."""
    owns, key, later = record_lines(job), job.spec.key, _Later(job)
    written = 0
    for shard in job.manifest.rounds[0].shards:
        landing = landing_of(job, shard)
        totals.join(landing.totals)
        till.join(landing.till)
        till.receipts[shard.batch_id].add(landing.totals.usage, [landing.totals.cost])
        first, made = shard.shard.first, landing.shelf.lines()
        while lines := list(islice(made, RUN)):
            mine = list(islice(owns, len(lines)))
            done = 0
            for place in [*_not_made(lines[: len(mine)]), len(mine)]:
                _put(output, first + done, mine[done:place], lines[done:place], key)
                if place < len(mine):
                    index, own = first + place, mine[place]
                    answers = [landing.answer(job, index, lines[place]), *later.answers(index)]
                    name = str(index) if key is None else key_in(own, key)
                    row = Row(index, name, own, best(answers), usage_of(answers), till.take(answers), answers)
                    yield from _write([row], totals, output)
                done = place + 1
            first += len(lines)
            written += len(mine)
        landing.shelf.clear()
    if not written == totals.counts["total"] == job.manifest.records:
        raise ManifestError(
            f"the records of {job.folder.uri!r} do not match its results: {written:,} rows for "
            f"{job.manifest.records:,} records. Restore the files and clear the task; nothing is paid again."
        )


def _not_made(lines: Sequence[bytes]) -> list[int]:
    """Return which of *lines* are no rows yet."""
    return [place for place, line in enumerate(lines) if not line.startswith(b"{")]


def _put(output: Write, first: int, owns: Sequence[bytes], lines: Sequence[bytes], key: str | None) -> None:
    """Write rows that were made without their records."""
    if key is not None:
        lines = [
            with_key(line, at, key_in(own, key)) for at, (line, own) in enumerate(zip(lines, owns, strict=True), first)
        ]
    output(owns, lines)


class _Later:
    """The answers of later rounds: few, and in the same order as those of the first."""

    def __init__(self, job: Job) -> None:
        rounds = [answers_of(job, round_) for round_ in job.manifest.rounds[1:]]
        self._answers = groupby(heapq.merge(*rounds, key=itemgetter(0)), key=itemgetter(0))
        self._next = next(self._answers, None)

    def answers(self, index: int) -> list[Answer]:
        """Return those for the record *index*, in the order of the rounds. Each call names a greater index."""
        if self._next is None or self._next[0] != index:
            return []
        found = [answer for _, answer in self._next[1]]
        self._next = next(self._answers, None)
        return found


def _write(rows: Iterable[Row], totals: Totals, output: Write, thinks: bool = False) -> Iterator[Row]:
    """Write and count *rows*, and yield those that are not good."""
    for row in rows:
        totals.add(row)
        output([row.own], [_encode(row.as_columns(thinks)) + b"\n"])
        if row.answer.result.status != "succeeded":
            yield row


def _tidy(job: Job) -> None:
    """Ask the vendor to delete what it kept, now that our copy is durable. It may fail; the job may not."""
    if job.hook.settings.keep_remote_files:
        return
    for round_ in job.manifest.rounds:
        if round_.is_tidied:
            continue
        for batch in (shard.batch for shard in round_.shards if shard.batch):
            try:
                job.hook.cleanup(batch)
            except LLMBatchError as error:
                job.log.warning("Files of batch %s stay at the vendor until they expire: %s", batch.batch_id, error)
        job.record("tidied", round_=round_.number)


def _rows(job: Job, lines: Iterable[Line], till: Till, shared: SharedAnswers) -> Iterator[Row]:
    """Yield the row of every record of *lines*. One that shares another's request shares its answer, at no cost."""
    asked, twins = all_answers(job), twins_of(job)
    twin, first = next(twins, (-1, -1))
    for number, (key, line) in lines:
        if number == twin:
            answers = shared.of(first)
            yield Row(number, key, line, best(answers), NO_USAGE, NOTHING, answers)
            twin, first = next(twins, (-1, -1))
        else:
            index, answers = next(asked, (-1, []))
            if index != number:
                raise ManifestError(
                    f"the files of {job.folder.uri!r} have no answer to record {number}. Restore them and clear the "
                    "task; nothing is paid again."
                )
            if len(answers) == 1:  # as most are
                answer = answers[0]
                yield Row(number, key, line, answer, answer.result.usage, till.take(answers), answers)
            else:
                yield Row(number, key, line, best(answers), usage_of(answers), till.take(answers), answers)


def _keep_summary(job: Job, summary: dict[str, Any], bill: Bill) -> None:
    """Write the summary down with what each round and batch took, which would make the task's result grow with them."""
    for warning in bill.warnings():
        job.log.warning("%s", warning)
    whole = summary | {"by_round": bill.rounds(), "batches": bill.batches()}
    job.folder.files.replace(SUMMARY, msgspec.json.format(msgspec.json.encode(whole), indent=2))


def _summary(job: Job, totals: Totals, till: Till, discount: str, output_uri: str) -> dict[str, Any]:
    reused, shards = job.manifest.reused, job.manifest.shards
    batches = [shard.batch for shard in shards if shard.batch]
    submitted = min((shard.submitted_at for shard in shards if shard.submitted_at), default=None)
    started = min((batch.in_progress_at for batch in batches if batch.in_progress_at), default=None)
    completed = max((batch.ended_at for batch in batches if batch.ended_at), default=None)
    saved = None if totals.cost is None or till.standard is None else till.standard - totals.cost
    return {
        "job_uri": job.folder.uri,
        "output_uri": output_uri,
        "vendor": job.hook.vendor,
        "model": job.spec.model,
        "status": "completed",
        "counts": totals.counts,
        "errors": dict(sorted(totals.errors.items(), key=lambda item: (-item[1], item[0]))[:10]),
        "rounds": len(job.manifest.rounds),
        "batch_ids": job.manifest.batch_ids,
        "usage": totals.usage.as_summary(),
        "estimate_usd": _estimate(job),
        "cost_usd": text(totals.cost),
        "sync_cost_usd": text(till.standard),
        "saved_usd": text(saved),
        "discount": discount,
        "cache_hit_ratio": totals.usage.cache_hit_ratio,
        "cache_saved_usd": None if totals.cost is None else text(till.saved_by_cache),
        **({"reused": {"rows": reused.rows, "saved_usd": reused.saved_usd}} if reused else {}),
        "price_source": till.source,
        "submitted_at": iso(submitted),
        "in_progress_at": iso(started),
        "completed_at": iso(completed),
        "seconds": round(completed - submitted, 1) if completed and submitted else None,
    }


def _estimate(job: Job) -> dict[str, str | None] | None:
    """Return what the job was expected to cost before anything of it was sent."""
    estimate = job.folder.estimate()
    return None if estimate is None else estimate.in_short()


def _judge(job: Job, totals: Totals, output_uri: str) -> None:
    counts = totals.counts
    bad = counts["total"] - counts["succeeded"]
    if counts["succeeded"] and bad <= job.terms.max_failed_ratio * counts["total"]:
        return
    most = sorted(totals.errors.items(), key=lambda item: -item[1])[:5]
    worst = ", ".join(f"{count:,} × {code}" for code, count in most)
    raise IncompleteError(
        f"{bad:,} of {counts['total']:,} records have no good answer after {len(job.manifest.rounds)} rounds "
        f"(max_failed_ratio={job.terms.max_failed_ratio}): {worst}. "
        f"Every record has its row in {output_uri!r}; the failed ones are in {job.folder.files.uri_of(FAILED)!r}. "
        "Nothing paid is lost; a retry lands the same rows at no cost. "
        "LLMBatchReconcileOperator(job=…, reask=True) asks the failed ones again.",
        counts=counts,
        job_uri=job.folder.uri,
    )
