"""At most one paid batch per shard and round.

Neither vendor honours an idempotency key, and a lost answer to *create* is not a no. So every paid call is announced
by an intent, made once, and followed by an event; where the event is missing we look before we ask again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.settle import accept, marker, patiently, settle, settle_one
from airflow_provider_llmbatch.engine.split import split_large
from airflow_provider_llmbatch.engine.window import BUSY_PAUSE, Room, names_queue, put_back, room_for
from airflow_provider_llmbatch.exceptions import (
    BusyError,
    CancelledError,
    InputError,
    LLMBatchError,
    RejectedError,
    UnavailableError,
    VendorError,
)

CANCELS = 8
"""Cancels that are asked for at once: a task that is being killed has seconds."""


def submit(job: Job, rooms: tuple[Room, ...] = ("free",)) -> set[str]:
    """Send what may be sent now, and settle what is in doubt.

    :param rooms: Shards are sent where their room in the queue is one of these.
    :return: Batches that may be ours and cannot be told apart yet: watch them, they prove themselves by their results.
    :raises CancelledError: There is something to send, and the task was killed.
    """
    split_large(job)
    if job.spec.lookup_since is not None and job.hook.can_list:
        _suspect(job)
    watched = settle(job)
    for shard in job.manifest.rounds[-1].in_phase("ready"):
        if room_for(job, shard) in rooms and shard.not_before <= job.clock():
            _send(job, shard)
    return watched


def _suspect(job: Job) -> None:
    """Treat every shard of a job whose earlier state was lost as if its paid call had been made and not answered."""
    for shard in job.manifest.rounds[-1].in_phase("ready"):
        if shard.attempt == 1:
            job.record("intent", shard, at=job.spec.lookup_since, until=job.spec.created_at)


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
        batch = job.hook.create(path, staged, marker(job, shard))
    except BusyError as busy:
        if names_queue(busy):
            put_back(job, shard, str(busy))
        else:
            job.record("void", shard, reason=f"busy: {busy.code}", until=job.clock() + (busy.retry_after or BUSY_PAUSE))
            job.log.warning("Shard %s was not taken yet: %s", shard.name, busy)
    except RejectedError as no:
        job.record("void", shard, reason=f"rejected: {no.code}")
        raise
    except UnavailableError as lost:
        job.record("lost", shard, reason=type(lost).__name__)
        job.log.warning("Shard %s: %s Nothing is sent again before the vendor's list was searched.", shard.name, lost)
        settle_one(job, job.current(shard))
    else:
        accept(job, shard, batch)


def _stage(job: Job, shard: ShardState, path: Path) -> dict[str, str]:
    """Bring the request file to the vendor, unless an attempt that died before its intent had done that."""
    name = f"{job.spec.job_id}-{shard.name}.jsonl"
    found = job.hook.run(job.hook.find_staged(name, shard.shard.bytes)) if job.was_begun else None
    return found or job.hook.stage(path, name)


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
