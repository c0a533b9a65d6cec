"""What became of a paid call whose answer nobody wrote down: look before asking again.

OpenAI keeps our marker with the batch, which is proof. Anthropic keeps none: every batch of that time and size may be
ours, is watched until it ends, and proves itself by the custom ids of its results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.core.requests import index_of
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import name_in
from airflow_provider_llmbatch.exceptions import BusyError, RunError, TransferError, UnavailableError, VendorError
from airflow_provider_llmbatch.hooks.calls import Marker

T = TypeVar("T")

TRIES = 4
"""How often a free call is made before the task's own retry takes over."""
PROOF_LINES = 1_000
"""Result lines that are read to tell whose an ended batch is."""


def settle(job: Job) -> set[str]:
    """Look for every batch whose answer nobody wrote down; return those that may be ours and cannot be told yet."""
    watched: set[str] = set()
    for shard in job.manifest.shards:
        if shard.phase == "unknown":
            watched |= settle_one(job, shard)
    return watched


def settle_one(job: Job, shard: ShardState) -> set[str]:
    """Find out what became of a paid call whose answer nobody wrote down; return the batches to watch meanwhile.

    :raises RunError: The service has no list, so nobody but a person can tell.
    """
    if not job.hook.can_list:
        raise RunError(
            f"the answer to the paid call for shard {shard.name} was lost, and connection {job.hook.conn_id!r} says "
            "that its service has no list of batches (list_mode 'none'): nobody can tell whether the batch exists. "
            f"Nothing was sent again, and everything is kept in {job.folder.uri!r}. Look in the service's own console; "
            "if it has no such batch, `airflow-llmbatch reset`, then clear this task.",
            job_uri=job.folder.uri,
        )
    try:
        sighting = job.hook.run(job.hook.find(marker(job, shard), job.known_batches))
    except (BusyError, UnavailableError) as error:
        job.log.warning("Shard %s: the vendor's list cannot be searched now: %s", shard.name, error)
        return set()
    if sighting.certain:
        job.log.warning("Shard %s: its batch %s was found again.", shard.name, sighting.certain.batch_id)
        accept(job, shard, sighting.certain)
        return set()
    watched: set[str] = set()
    is_told = True
    for batch in sighting.candidates:
        if not batch.is_terminal:
            watched.add(batch.batch_id)
            continue
        names = _names_in(job, batch)
        if names is None:
            is_told = False
        elif any(_is_answer(job, shard, name) for name in names):
            job.log.warning("Shard %s: batch %s proved to be ours by its results.", shard.name, batch.batch_id)
            accept(job, shard, batch)
            return set()
    if not watched and is_told and job.clock() >= grace_end(job, shard):
        job.record("void", shard, reason="absent")
        job.log.info("Shard %s: the vendor has no batch of it, so it is sent again.", shard.name)
    return watched


def grace_end(job: Job, shard: ShardState) -> float:
    """Return when a batch that is not in the vendor's list does not exist.

    If somebody saw the call end, only the list can lag. If its process died, the call itself may still be under way.
    """
    if shard.lost_at is not None:
        return shard.lost_at + job.hook.list_lag
    intent = shard.intent
    return (intent.until or intent.at if intent else job.clock()) + job.hook.list_lag


def _names_in(job: Job, batch: Batch) -> list[str] | None:
    """Return the custom ids in the first lines of an ended batch; ``None`` if they cannot be seen (yet).

    Usually the first line tells whose a batch is. Lines of somebody else may stand before it, and are no proof of the
    contrary.
    """
    if batch.batch_id not in job.names_seen:
        try:
            lines = patiently(job, lambda: job.hook.first_lines(batch, PROOF_LINES))
        except (VendorError, TransferError) as error:
            job.log.warning("Batch %s ended and may be ours; its results cannot be seen: %s", batch.batch_id, error)
            return None
        names = [name for name in map(name_in, lines) if name is not None]
        if not names:
            job.log.warning("Batch %s ended and may be ours; its results tell nothing.", batch.batch_id)
            return None
        job.names_seen[batch.batch_id] = names
    return job.names_seen[batch.batch_id]


def _is_answer(job: Job, shard: ShardState, name: str) -> bool:
    """Return whether a result with this custom id answers *shard*: nobody else can have made it up."""
    index = index_of(name, job=job.spec.job_id, round_=shard.round)
    return index is not None and shard.shard.first <= index <= shard.shard.last


def accept(job: Job, shard: ShardState, batch: Batch) -> None:
    """Write down that *batch* is that of *shard*."""
    job.record("submitted", shard, batch_id=batch.batch_id)
    job.log.info("Shard %s is batch %s: %s requests", shard.name, batch.batch_id, f"{shard.shard.count:,}")


def marker(job: Job, shard: ShardState) -> Marker:
    """Return what a batch of *shard* can be recognised by."""
    return Marker(
        job=job.spec.job_id,
        shard=shard.name,
        sha256=shard.shard.sha256,
        count=shard.shard.count,
        since=shard.intent.at if shard.intent else job.clock(),
        lane=shard.shard.lane,
    )


def patiently(job: Job, call: Callable[[], T]) -> T:
    """Make a free call, again after a pause if the vendor is busy or does not answer.

    :raises VendorError: It did not work out; the task's own retry goes on from here.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return call()
        except (BusyError, UnavailableError) as error:
            if attempt == TRIES:
                raise
            pause = error.retry_after or 2.0**attempt
            job.log.warning("%s Trying again in %.0f s.", error, pause)
            job.sleep(pause)
    raise AssertionError("unreachable")
