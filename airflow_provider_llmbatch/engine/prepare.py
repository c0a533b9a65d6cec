"""From records to shards: everything is written and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import islice

from airflow_provider_llmbatch.core.manifest import Round
from airflow_provider_llmbatch.core.records import Block, number
from airflow_provider_llmbatch.core.requests import SAME, Requests, custom_id
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.again import FREE_STATUSES, Again
from airflow_provider_llmbatch.engine.asking import Asker
from airflow_provider_llmbatch.engine.cap import check_round
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.reuse.gate import Gate
from airflow_provider_llmbatch.engine.twins import Ledger, Repeats, write_twins
from airflow_provider_llmbatch.engine.verdicts import all_answers, latest_requests, records_of
from airflow_provider_llmbatch.engine.window import read_queues
from airflow_provider_llmbatch.engine.writing import RecordFiles, ShardFiles
from airflow_provider_llmbatch.exceptions import InputError, ManifestError, SourceError
from airflow_provider_llmbatch.sources import blocks_of
from airflow_provider_llmbatch.storage.segment import LostError

SUSPECTS = 1000
"""Keys that are looked into at most when some of them may be the same: one that comes twice is one too many."""
WARM_FROM = 100
"""Requests from which on ``warm_cache`` counts: what fewer could save is not worth the wait for a batch of one."""


def prepare_first(job: Job) -> None:
    """Read the source once and write the records and requests of round 1.

    A crash here costs nothing: nothing was sent, and the next try writes the same files again.

    :raises InputError: Something in the source, the templates or a request is not as it must be.
    """
    if job.plan is None:
        raise ManifestError(
            f"job {job.folder.uri!r} was begun and its requests were never completed. Nothing was sent. Retry the task "
            "that asks; this one only goes on with what that one prepared."
        )
    job.folder.ask(job.plan.question)
    lost: set[str] = set()
    while True:
        try:
            _prepare_first(job, job.plan, lost)
        except LostError as error:
            lost.add(error.segment.name)
            job.log.info("%s was purged while its answers were looked up. What it held is asked.", error)
        else:
            return


def _prepare_first(job: Job, plan: Plan, lost: Set[str]) -> None:
    """Do it, without the answers of the segments *lost*.

    :raises LostError: Another one is gone.
    """
    warm = plan.warm_cache
    asker = Asker(job, plan)
    with Gate(job, plan, asker, lost) as gate, ShardFiles(job, 1, first_alone=warm) as shards:
        with RecordFiles(job) as records:
            _write(job, plan, records, gate, shards)
        are_alike = next(asker.alike.found(), None) is not None
        reused = gate.close()
        ledger = _ledger(job, shards) if are_alike else Ledger()
        twins = write_twins(job, ledger)
        is_warmed = warm and records.count - twins - (reused.rows if reused else 0) >= WARM_FROM
        if twins or is_warmed != warm:
            made = _cut_again(job, shards, (index for index, _ in ledger.twins()), first_alone=is_warmed)
        else:
            made = shards.close()
    job.record(
        "prepared",
        round_=1,
        shards=made,
        columns=records.columns,
        records=records.count,
        record_files=records.files,
        twins=twins,
        queues=read_queues(job),
        is_warmed=is_warmed,
        reused=reused,
    )
    _announce(job, 1, made, twins)
    if reused:
        job.log.info("%s records have their answer from %s and are not asked.", f"{reused.rows:,}", reused.uri)
    if is_warmed:
        job.log.info("Shard r1-00000 is one request that fills the cache; the others wait for its results.")


def _write(job: Job, plan: Plan, records: RecordFiles, gate: Gate, shards: ShardFiles) -> None:
    """Read the source to its end."""
    keys = Repeats()

    def blocks() -> Iterator[Block]:
        for block in number(blocks_of(plan.source), key=job.spec.key):
            records.add(block)
            keys.note(map(hash, block.keys or ()))
            yield block

    is_told = False
    for requests in gate.asked(blocks()):
        shards.add_all(requests)
        if not is_told:
            _tell_of_cache(job, plan, requests)
            is_told = True
    records.close()
    if not records.count:
        raise SourceError(f"source {plan.source!r} holds no records. Nothing was sent.")
    _refuse_repeated(job, keys, records.files)


def _tell_of_cache(job: Job, plan: Plan, requests: Requests) -> None:
    """Say if ``cache`` does nothing. The first request is the sample: what they share is in all of them."""
    cache = plan.question.cache
    if cache is None:
        return
    if not job.hook.marks_cache:
        job.log.info("cache=%r marks nothing: the prompt cache of %s needs no marks.", cache, job.hook.vendor)
        return
    reason = job.hook.cache_shortfall(requests.lines.partition(b"\n")[0])
    if reason:
        job.log.warning(
            "cache=%r will cache nothing of the request of record %d: %s. The answers are the same without a cache.",
            cache,
            requests.first,
            reason,
        )


def _refuse_repeated(job: Job, keys: Repeats, files: int) -> None:
    """Refuse a key that came twice: two rows could not be told apart later."""
    suspects = set(islice(keys.found(), SUSPECTS))
    firsts: dict[str, int] = {}
    for record in records_of(job, files) if suspects else ():
        if hash(record.key) in suspects and firsts.setdefault(record.key, record.index) != record.index:
            raise InputError(
                f"record {record.index}: key {job.spec.key!r} = {record.key!r} is a duplicate, record "
                f"{firsts[record.key]} has it; a key names one record for ever. Nothing was sent. Remove the "
                "duplicate, or leave `key` out to name records by their position.",
                index=record.index,
                key=record.key,
            )


def _ledger(job: Job, written: ShardFiles) -> Ledger:
    """Return which of the requests are the same, word for word."""
    ledger = Ledger()
    for index, line, _ in written.without(iter(())):
        ledger.note(index, line, custom_id(job.spec.job_id, 1, index))
    return ledger


def _cut_again(job: Job, written: ShardFiles, twins: Iterator[int], *, first_alone: bool) -> list[Shard]:
    """Cut the requests again, those of *twins* left out; they were only on this machine's disk so far."""
    with ShardFiles(job, 1, first_alone=first_alone) as shards:
        for index, line, lane in written.without(twins):
            shards.add(job.hook.revise(custom_id(job.spec.job_id, 1, index), line, SAME, lane), index)
        return shards.close()


def prepare_next(job: Job) -> bool:
    """Write the requests of another round: what may still get a good answer.

    :return: Whether there is another round to ask.
    """
    latest = job.manifest.rounds[-1]
    following = latest.number + 1
    if not _may_ask(job, latest):
        return False
    again = Again(job, following)
    with ShardFiles(job, following) as shards:
        for (index, answers), asked in zip(all_answers(job), latest_requests(job), strict=True):
            if asked.index != index:
                raise ManifestError(f"the requests of {job.folder.uri!r} do not match its results at index {index}.")
            request = again.request(answers, asked)
            if request is not None:
                shards.add(request, index)
        made = shards.close()
    if not made:
        return False
    check_round(job, following, made)
    job.record("prepared", round_=following, shards=made)
    _announce(job, following, made)
    return True


def _may_ask(job: Job, latest: Round) -> bool:
    """Return whether any row may be asked again, as far as the counts tell: reading every answer takes its time."""
    if job.manifest.base > latest.number:
        return True
    tallies = [shard.tally for shard in latest.shards if shard.tally]
    failed = sum(sum(tally.statuses.values()) - tally.statuses.get("succeeded", 0) for tally in tallies)
    free = sum(tally.statuses.get(status, 0) for tally in tallies for status in FREE_STATUSES)
    free += sum(sum(tally.stops.values()) for tally in tallies)
    is_last = latest.number - job.manifest.base + 1 >= job.terms.max_rounds
    return bool(free) if is_last else bool(failed)


def _announce(job: Job, round_: int, shards: list[Shard], twins: int = 0) -> None:
    job.log.info(
        "Round %d: %s requests in %d shards, %s bytes, prepared in %s%s",
        round_,
        f"{sum(shard.count for shard in shards):,}",
        len(shards),
        f"{sum(shard.bytes for shard in shards):,}",
        job.folder.uri,
        f"; {twins:,} more records share the request of another" if twins else "",
    )
