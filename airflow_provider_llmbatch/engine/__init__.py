"""The engine: one idempotent step.

    advance(job) → Wait(batches to watch) | Done(summary), or an error that says what is kept

It does everything that can be done **now** (prepare, submit within the window, collect what has ended, build the next
round, write the output) and returns. Any process may call it, at any time, any number of times: what is done is not
done again. A retry, a cleared task, a resumed deferral and a crash are all the same thing: somebody calls it.
"""

from __future__ import annotations

from contextlib import suppress

from airflow_provider_llmbatch.core.estimate import Estimate
from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.engine.cap import check_first, check_held
from airflow_provider_llmbatch.engine.claim import claim_output
from airflow_provider_llmbatch.engine.collect import collect, gone, stopped
from airflow_provider_llmbatch.engine.estimate import estimate_first
from airflow_provider_llmbatch.engine.finish import finish
from airflow_provider_llmbatch.engine.job import Done, Job, Wait
from airflow_provider_llmbatch.engine.prepare import prepare_first, prepare_next
from airflow_provider_llmbatch.engine.prices import own_prices
from airflow_provider_llmbatch.engine.settle import grace_end, patiently
from airflow_provider_llmbatch.engine.submit import submit
from airflow_provider_llmbatch.engine.window import CHECK_EVERY, room_for
from airflow_provider_llmbatch.exceptions import CostCapError, DeadlineError, IncompleteError
from airflow_provider_llmbatch.storage.tables import check_output

SEARCH_EVERY = 60.0
"""Seconds between two searches for a batch that cannot be told from others yet."""


def advance(job: Job) -> Wait | Done:
    """Take *job* as far as it goes now.

    :raises LLMBatchError: It cannot go on; the message says what is kept and what the next try will do.
    """
    prepare(job)
    check_first(job)
    while True:
        unseen = collect(job)
        if job.stops:
            raise stopped(job)
        watched = submit(job)
        if not job.manifest.rounds[-1].is_collected:
            check_held(job)
            return _wait(job, watched, unseen)
        try:
            has_more = prepare_next(job)
        except CostCapError:
            with suppress(IncompleteError):
                finish(job, status="capped")  # what is paid for is of use as it is
            raise
        if not has_more:
            return Done(finish(job))


def start(job: Job) -> None:
    """Prepare the job if that was not done, and send what may be sent now."""
    prepare(job)
    check_first(job)
    submit(job, rooms=("free", "soon"))  # nobody comes back when the vendor has checked the first ones


def expect(job: Job) -> Estimate:
    """Prepare the job if that was not done, and return what its first round will take. Nothing is sent."""
    prepare(job)
    return estimate_first(job)


def prepare(job: Job) -> None:
    """Read what has happened so far; if that is nothing, check everything and write the requests of round 1."""
    claim_output(job)
    if not job.refresh().rounds:
        check_output(job.terms.output_uri)
        own_prices()
        if not job.is_offline:
            patiently(job, job.hook.preflight)
        prepare_first(job)


def _wait(job: Job, watched: set[str], unseen: set[str]) -> Wait:
    now = job.clock()
    waiting = job.manifest.rounds[-1].in_phase("ready", "unknown")
    open_ids = [shard.batch_id for shard in job.manifest.open if shard.batch_id]
    wakes = [shard.not_before for shard in waiting if shard.phase == "ready" and shard.not_before > now]
    if any(shard.phase == "ready" and room_for(job, shard) == "soon" for shard in waiting):
        wakes.append(now + CHECK_EVERY)
    wakes += [_next_search(job, shard, now) for shard in waiting if shard.phase == "unknown"]
    round_ = job.manifest.rounds[-1]
    began = min((shard.submitted_at for shard in round_.shards if shard.submitted_at), default=round_.prepared.at)
    give_up_at = began + job.terms.patience
    if now > give_up_at:
        raise gone(job, sorted(unseen)) if unseen else _too_late(job, open_ids)
    return Wait(
        batch_ids=open_ids,
        candidates=sorted(watched),
        until="any" if waiting else "all",
        wake_at=min(wakes, default=None),
        give_up_at=give_up_at,
    )


def _next_search(job: Job, shard: ShardState, now: float) -> float:
    """Return when to look for a lost batch again: when it must have shown itself, and every minute besides."""
    end = grace_end(job, shard)
    return min(max(end, now + 5), now + SEARCH_EVERY) if end > now else now + SEARCH_EVERY


def _too_late(job: Job, open_ids: list[str]) -> DeadlineError:
    collected = sum(shard.phase == "collected" for shard in job.manifest.shards)
    doubtful = [shard.name for shard in job.manifest.shards if shard.phase == "unknown"]
    running = [f"{len(open_ids)} batches were still running ({', '.join(open_ids[:5])})"] if open_ids else []
    doubts = [f"the batches of {', '.join(doubtful[:5])} were not found and may exist"] if doubtful else []
    return DeadlineError(
        f"After {job.terms.patience:,.0f} s {' and '.join(running + doubts) or 'not everything was sent'}. "
        f"What runs keeps running and billing. {collected} shards are collected and kept in {job.folder.uri!r}; "
        "clearing this task waits for the rest and submits nothing twice.",
        batch_ids=open_ids,
        job_uri=job.folder.uri,
    )


__all__ = ["Done", "Job", "Wait", "advance", "expect", "start"]
