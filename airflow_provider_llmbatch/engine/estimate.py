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
from airflow_provider_llmbatch.exceptions import LLMBatchError
from airflow_provider_llmbatch.storage.folder import open_folder
from airflow_provider_llmbatch.storage.layout import SUMMARY, JobFolder, Spec, job_uri

WHOLE, WHOLE_BYTES = 512, 4 << 20
"""Up to so many requests, of so many bytes, all are counted, and no error of sampling is left."""
PIECES, FEWEST, LINES = 64, 8, 8
"""Else neighbouring requests are, at so many places: that finds a mean to a few per cent, of however many."""
PIECE = 1 << 16
"""Bytes that are read at first at each place."""
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
        if found.unpriced:
            job.log.warning("No price is known for %s: the cost is unknown, not zero.", ", ".join(found.unpriced))
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
    size, count = sum(shard.bytes for shard in shards), sum(shard.count for shard in shards)
    is_whole = count <= WHOLE and size <= WHOLE_BYTES
    chance = Random(f"{job.spec.job_id}-{round_}")  # noqa: S311 - the same sample each time it is taken
    for name in dict.fromkeys(shard.lane for shard in shards):
        group = [shard for shard in shards if shard.lane == name]
        mine = sum(shard.bytes for shard in group)
        if is_whole:
            pieces = [_read(job, round_, shard, 0, shard.bytes) for shard in group]
        else:
            places = max(FEWEST, round(PIECES * mine / size))
            starts = [int((number + chance.random()) * mine / places) for number in range(places)]
            pieces = [_read_at(job, round_, group, start) for start in starts]
        sample = [[_counted(job, line) for line in piece] for piece in pieces]
        yield Lane(name, sum(shard.count for shard in group), mine, sample, is_whole)


def _read_at(job: Job, round_: int, group: Sequence[Shard], start: int) -> list[bytes]:
    """Return some neighbouring lines, from byte *start* of the shards of *group*, one after the other."""
    for shard in group:
        if start < shard.bytes:
            size = PIECE
            while not (lines := _read(job, round_, shard, start, size)):
                start, size = (start, 4 * size) if start + size < shard.bytes else (0, PIECE)
            return lines[:LINES]
        start -= shard.bytes
    raise AssertionError("unreachable")


def _read(job: Job, round_: int, shard: Shard, start: int, size: int) -> list[bytes]:
    """Return the lines that lie whole between *start* and *size* bytes further."""
    piece = job.folder.files.piece(f"requests/{stem(round_, shard.number, part=shard.part)}.jsonl", start, size)
    return piece.split(b"\n")[1 if start else 0 : -1]


def _counted(job: Job, line: bytes) -> Sampled:
    hook = job.hook
    return Sampled(len(line) + 1, weigh(hook.body_of(line)), hook.model_of(line), hook.bound_of(line))


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
    by = (
        f"by {len(estimate.jobs)} earlier jobs"
        if estimate.jobs
        else "by general figures, since no earlier job is known"
    )
    cost, sync = estimate.cost_usd, estimate.sync_cost_usd
    price = f"{_range(cost)} in batches, {_range(sync)} without" if cost and sync else "cost unknown"
    return (
        f"Estimate of round {estimate.round}: {estimate.requests:,} requests, {_count(estimate.input_tokens)} tokens "
        f"in, {_count(estimate.output_tokens)} out; {price} ({by})"
    )


def _count(tokens: Tokens) -> str:
    if tokens.expected is None:
        return "any number" if tokens.at_most is None else f"up to {tokens.at_most:,}"
    return f"{tokens.expected:,} ± {tokens.error:,}" if tokens.error else f"{tokens.expected:,}"


def _range(cost: Money) -> str:
    most = "no bound known" if cost.at_most is None else f"at most {dollars(cost.at_most)}"
    return most if cost.expected is None else f"{dollars(cost.expected)} ± {dollars(cost.error)} ({most})"
