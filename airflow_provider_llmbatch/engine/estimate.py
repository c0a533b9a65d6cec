"""What a round will cost: a sample of its request files, and what earlier jobs of the same task teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.estimate import Estimate, Money, Tokens, dollars
from airflow_provider_llmbatch.core.estimator import Estimator, Lane, Past, Sampled, learn
from airflow_provider_llmbatch.core.manifest import stem
from airflow_provider_llmbatch.core.results import Usage
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.core.texts import weigh
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import LLMBatchError, ManifestError
from airflow_provider_llmbatch.storage.folder import open_folder
from airflow_provider_llmbatch.storage.layout import SUMMARY, JobFolder, Spec, job_uri

PIECES, FEWEST = 64, 8
"""Pieces of a round's request files that are read, and of one lane at least: that finds a mean to a few per cent."""
PIECE, LINES = 32 << 10, 2
"""Bytes of a piece, or so many average requests if those are more. A round of no more than 64 pieces, 2 MB as a rule,
is counted whole, and no error of sampling is left."""
JOBS, RUNS = 5, 20
"""Earlier jobs that are learned from, and runs of the DAG that are looked through for them."""


def estimate_first(job: Job) -> Estimate:
    """Return what the first round takes; the first time, work it out, write it down and say so in the log.

    What is worked out once something was sent is not written down: that is no estimate any more.
    """
    found = job.folder.estimate()
    if found is None:
        found = estimate(job, 1, job.manifest.rounds[0].prepared.shards or [])
        if not job.manifest.batch_ids:
            job.folder.expect(found)
        job.log.info("%s", in_words(found))
    return found


def estimate(job: Job, round_: int, shards: Sequence[Shard]) -> Estimate:
    """Work out what round *round_*, whose requests are written, will take."""
    lesson = learn(_past(job), job.hook.token_factor)
    question = job.question
    marks = job.hook.marks_cache and question is not None and question.cache is not None
    estimator = Estimator(lesson, job.prices.book, question.cache_ttl if marks and question else None)
    return estimator(
        list(_lanes(job, round_, shards)),
        round=round_,
        at=job.clock(),
        vendor=job.hook.vendor,
        model=job.spec.model,
        question=_digest(job),
    )


def _digest(job: Job) -> str:
    """Return what tells one question from another, without its text."""
    document = None if job.question is None else asdict(job.question)
    return sha256(msgspec.json.encode(document, order="sorted")).hexdigest()[:16]


# -- the sample ------------------------------------------------------------------------------------------------------


def _lanes(job: Job, round_: int, shards: Sequence[Shard]) -> Iterator[Lane]:
    size = sum(shard.bytes for shard in shards)
    chance = Random(f"{job.spec.job_id}-{round_}")  # noqa: S311 - the same sample each time it is taken
    for name in dict.fromkeys(shard.lane for shard in shards):
        group = [shard for shard in shards if shard.lane == name]
        count, mine = sum(shard.count for shard in group), sum(shard.bytes for shard in group)
        step = max(PIECE, LINES * mine // count)
        places = [(shard, start) for shard in group for start in range(0, shard.bytes, step)]
        wanted = max(FEWEST, round(PIECES * mine / size))
        is_whole = len(places) <= wanted
        if not is_whole:
            places = [places[int((n + chance.random()) * len(places) / wanted)] for n in range(wanted)]
        pieces = [_read(job, round_, shard, start, start + step) for shard, start in places]
        if not any(pieces):
            pieces = [_read(job, round_, shard, 0, 1) for shard, _ in places]  # at a file's start there is a line
        yield Lane(name, count, mine, [[_counted(job, line) for line in piece] for piece in pieces], is_whole)


def _read(job: Job, round_: int, shard: Shard, start: int, stop: int) -> list[bytes]:
    """Return the lines that begin at *start* or later, and before *stop*."""
    name = f"requests/{stem(round_, shard.number, part=shard.part)}.jsonl"
    before = max(start - 1, 0)
    text = job.folder.files.piece(name, before, stop - before)
    first = text.find(b"\n") + 1 if start else 0
    if start and not first:
        return []
    size = PIECE
    while not text.endswith(b"\n"):
        more = job.folder.files.piece(name, before + len(text), size)
        if not more:
            raise ManifestError(f"{job.folder.files.uri_of(name)!r} ends within a line. Nothing was sent. Restore it.")
        end, size = more.find(b"\n") + 1, 4 * size
        text += more[:end] if end else more
    return text[first:].split(b"\n")[:-1]


def _counted(job: Job, line: bytes) -> Sampled:
    hook = job.hook
    try:
        bound = hook.bound_of(line)
    except msgspec.ValidationError:  # the vendor will say that this is no number; nothing is sent or known by it
        bound = None
    return Sampled(len(line) + 1, weigh(hook.body_of(line)), hook.model_of(line), bound)


# -- earlier jobs ----------------------------------------------------------------------------------------------------


def _past(job: Job) -> list[Past]:
    """Return what the latest finished jobs of this task took. If they cannot be read, nothing is learned."""
    try:
        return list(_read_past(job))
    except (LLMBatchError, OSError, msgspec.MsgspecError) as error:
        job.log.warning("Earlier jobs could not be read, so the estimate goes without them: %s", error)
        return []


def _read_past(job: Job) -> Iterator[Past]:
    spec, parts = job.spec, job.folder.uri.split("/")
    own = job_uri("", dag_id=spec.dag_id, run_id=spec.run_id, task_id=spec.task_id, map_index=spec.map_index)
    if not job.folder.uri.endswith(own):
        return  # it lies where no neighbour is that we know of
    place = len(parts) - own.count("/") + 1  # of the run
    runs = open_folder("/".join(parts[:place])).names("")
    question, found = _digest(job), 0
    for run in sorted(runs, key=lambda name: name.rpartition("__")[2], reverse=True)[:RUNS]:
        if found == JOBS:
            return
        if run != parts[place]:
            past = _past_of(JobFolder("/".join([*parts[:place], run, *parts[place + 1 :]])), run, spec, question)
            if past is not None:
                yield past
                found += 1


def _past_of(folder: JobFolder, run: str, spec: Spec, question: str) -> Past | None:
    """Return what the job in *folder* took, or ``None``: it is not over, or it asked somebody else."""
    summary, before = folder.files.read(SUMMARY), folder.estimate()
    if summary is None or before is None or (before.vendor, before.model) != (spec.vendor, spec.model):
        return None
    usage = msgspec.json.decode(summary, type=_Summary).usage
    if not usage.input_tokens or not before.text_tokens:
        return None
    took = Usage(
        input=usage.input_tokens,
        cached_input=usage.cached_input_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.output_tokens,
    )
    return Past(run, before.requests, before.text_tokens, took, before.question == question)


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0


class _Summary(msgspec.Struct):
    """What is read of an earlier job's ``summary.json``."""

    usage: _Usage


def facts(estimate: Estimate) -> dict[str, Any]:
    """Return *estimate* as a task hands it on: what a person decides by."""
    names = (
        "requests",
        "sampled",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "sync_cost_usd",
        "saved_usd",
        "price_source",
    )
    given = {name: getattr(estimate, name) for name in names}
    return {
        "estimate": {**msgspec.to_builtins(given), "jobs": len(estimate.jobs)},
        "estimate_usd": estimate.in_short(),
    }


# -- words -----------------------------------------------------------------------------------------------------------


def in_words(estimate: Estimate) -> str:
    """Say what *estimate* says, in one line."""
    cost, sync = estimate.cost_usd, estimate.sync_cost_usd
    unknown = f"cost unknown, since no price is known for {', '.join(estimate.unpriced)}"
    price = f"{_range(cost)} in batches, {_range(sync)} without" if cost and sync else unknown
    return (
        f"Estimate of round {estimate.round}: {estimate.requests:,} requests, {_count(estimate.input_tokens)} tokens "
        f"in, {_count(estimate.output_tokens)} out; {price} (by {basis(estimate)})"
    )


def basis(estimate: Estimate) -> str:
    """Say what *estimate* goes by."""
    jobs = len(estimate.jobs)
    return f"{jobs} earlier job{'s' if jobs > 1 else ''}" if jobs else "general figures: no earlier job is known"


def _count(tokens: Tokens) -> str:
    if tokens.expected is None:
        return "any number" if tokens.at_most is None else f"up to {tokens.at_most:,}"
    return f"{tokens.expected:,} ± {tokens.error:,}" if tokens.error else f"{tokens.expected:,}"


def _range(cost: Money) -> str:
    most = "no bound known" if cost.at_most is None else f"at most {dollars(cost.at_most)}"
    return most if cost.expected is None else f"{dollars(cost.expected)} ± {dollars(cost.error)} ({most})"
