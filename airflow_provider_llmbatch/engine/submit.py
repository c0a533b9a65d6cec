"""At most one paid batch per shard and round.

Neither vendor honours an idempotency key, and a lost answer to *create* is not a no. So every paid call is announced
by an intent, made once, and followed by an event; where the event is missing we look before we ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.core.requests import index_of
from airflow_provider_llmbatch.core.results import Line
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import (
    BusyError,
    CancelledError,
    InputError,
    LLMBatchError,
    RejectedError,
    TransferError,
    UnavailableError,
    VendorError,
)
from airflow_provider_llmbatch.hooks.base import Marker

T = TypeVar("T")

BUSY_PAUSE = 60.0
"""Seconds to wait after a 429 that names no time of its own."""
TRIES = 4
"""How often a free call is made before the task's own retry takes over."""
PROOF_LINES = 1_000
"""Result lines that are read to tell whose an ended batch is."""
CANCELS = 8
"""Cancels that are asked for at once: a task that is being killed has seconds."""


def submit(job: Job) -> set[str]:
    """Send what may be sent now, and settle what is in doubt.

    :return: Batches that may be ours and cannot be told apart yet: watch them, they prove themselves by their results.
    :raises CancelledError: There is something to send, and the task was killed.
    """
    if job.spec.lookup_since is not None:
        _suspect(job)
    watched = settle(job)
    for shard in job.manifest.rounds[-1].in_phase("ready"):
        if _has_room(job) and shard.not_before <= job.clock():
            _send(job, shard)
    return watched


def _suspect(job: Job) -> None:
    """Treat every shard of a job whose earlier state was lost as if its paid call had been made and not answered."""
    for shard in job.manifest.rounds[-1].in_phase("ready"):
        if shard.attempt == 1:
            job.record("intent", shard, at=job.spec.lookup_since, until=job.spec.created_at)


def _has_room(job: Job) -> bool:
    limit = job.terms.max_active_batches
    return limit is None or len(job.manifest.rounds[-1].in_phase("submitted", "unknown")) < limit


def _send(job: Job, shard: ShardState) -> None:
    if job.is_stopped:
        raise CancelledError(
            f"the task was killed, so shard {shard.name} was not sent. What had finished is kept in "
            f"{job.folder.uri!r}; the next attempt collects it and asks only the rest.",
            job_uri=job.folder.uri,
        )
    path = job.folder.files.local(job.folder.requests_name(shard))
    staged = patiently(job, lambda: _stage(job, shard, path))
    until = job.clock() + job.hook.create_timeout
    if not job.record("intent", shard, staged=staged, until=until):
        job.log.warning("Shard %s is being sent by another live attempt; this one waits and looks.", shard.name)
        return
    try:
        batch = job.hook.create(path, staged, _marker(job, shard))
    except BusyError as busy:
        job.record("void", shard, reason=f"busy: {busy.code}", until=job.clock() + (busy.retry_after or BUSY_PAUSE))
        job.log.warning("Shard %s was not taken yet: %s", shard.name, busy)
    except RejectedError as no:
        job.record("void", shard, reason=f"rejected: {no.code}")
        raise
    except UnavailableError as lost:
        job.record("lost", shard, reason=type(lost).__name__)
        job.log.warning("Shard %s: %s Nothing is sent again before the vendor's list was searched.", shard.name, lost)
        _settle(job, job.current(shard))
    else:
        _accept(job, shard, batch)


def _stage(job: Job, shard: ShardState, path: Path) -> dict[str, str]:
    """Bring the request file to the vendor, unless an attempt that died before its intent had done that."""
    name = f"{job.spec.job_id}-{shard.name}.jsonl"
    found = job.hook.run(job.hook.find_staged(name, shard.shard.bytes)) if job.was_begun else None
    return found or job.hook.stage(path, name)


def _accept(job: Job, shard: ShardState, batch: Batch) -> None:
    job.record("submitted", shard, batch_id=batch.batch_id)
    job.log.info("Shard %s is batch %s: %s requests", shard.name, batch.batch_id, f"{shard.shard.count:,}")


def _marker(job: Job, shard: ShardState) -> Marker:
    return Marker(
        job=job.spec.job_id,
        shard=shard.name,
        sha256=shard.shard.sha256,
        count=shard.shard.count,
        since=shard.intent.at if shard.intent else job.clock(),
    )


def settle(job: Job) -> set[str]:
    """Look for every batch whose answer nobody wrote down; return those that may be ours and cannot be told yet."""
    watched: set[str] = set()
    for shard in job.manifest.shards:
        if shard.phase == "unknown":
            watched |= _settle(job, shard)
    return watched


def _settle(job: Job, shard: ShardState) -> set[str]:
    """Find out what became of a paid call whose answer nobody wrote down; return the batches to watch meanwhile."""
    try:
        sighting = job.hook.run(job.hook.find(_marker(job, shard), job.known_batches))
    except (BusyError, UnavailableError) as error:
        job.log.warning("Shard %s: the vendor's list cannot be searched now: %s", shard.name, error)
        return set()
    if sighting.certain:
        job.log.warning("Shard %s: its batch %s was found again.", shard.name, sighting.certain.batch_id)
        _accept(job, shard, sighting.certain)
        return set()
    untold = set()
    for batch in sighting.candidates:
        if not batch.is_terminal:
            untold.add(batch.batch_id)
            continue
        names = _names_in(job, batch)
        if names is None:
            untold.add("")
        elif any(_is_answer(job, shard, name) for name in names):
            job.log.warning("Shard %s: batch %s proved to be ours by its results.", shard.name, batch.batch_id)
            _accept(job, shard, batch)
            return set()
    if not untold and job.clock() >= grace_end(job, shard):
        job.record("void", shard, reason="absent")
        job.log.info("Shard %s: the vendor has no batch of it, so it is sent again.", shard.name)
    return untold - {""}


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


def name_in(line: bytes) -> str | None:
    """Return the custom id of a result line, or ``None`` if the line is damaged."""
    try:
        return msgspec.json.decode(line, type=Line).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_answer(job: Job, shard: ShardState, name: str) -> bool:
    """Return whether a result with this custom id answers *shard*: nobody else can have made it up."""
    index = index_of(name, job=job.spec.job_id, round_=shard.round)
    return index is not None and shard.shard.first <= index <= shard.shard.last


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


def stop(job: Job) -> list[str]:
    """Cancel what is at the vendor, and first look for batches whose answer was lost: they cost as much.

    :return: The batches that were asked.
    """
    try:
        doubtful = settle(job)
    except LLMBatchError as error:
        job.log.warning("Batches whose answer was lost could not be looked for: %s", error)
    else:
        if doubtful:
            job.log.warning(
                "Batches %s may be ours. They cannot be told before they end, so they were not cancelled.",
                ", ".join(sorted(doubtful)),
            )
    return cancel(job)


def cancel(job: Job) -> list[str]:
    """Ask the vendor to cancel every open batch; what had finished stays and is collected later.

    :return: The batches that were asked.
    """
    batch_ids = [shard.batch_id for shard in job.manifest.open if shard.batch_id]
    with ThreadPoolExecutor(CANCELS) as several:
        answers = several.map(lambda batch_id: _cancel(job, batch_id), batch_ids)
        return [batch_id for batch_id, is_asked in zip(batch_ids, answers, strict=True) if is_asked]


def _cancel(job: Job, batch_id: str) -> bool:
    try:
        job.hook.cancel(batch_id)
    except (VendorError, InputError) as error:  # a connection that is gone must not stand in the way either
        job.log.warning("Batch %s could not be cancelled: %s", batch_id, error)
        return False
    job.log.info("Batch %s: cancel asked for", batch_id)
    return True
