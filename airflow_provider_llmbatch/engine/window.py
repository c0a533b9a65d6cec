"""How much of a job may be at the vendor at once: the task's own bounds, and what the vendor's queue takes.

No vendor tells how full its queue is. OpenAI takes the batch and fails it minutes later, unbilled; Anthropic answers
429 (FACTS §1.2, §2.2). What the queue holds in all is known from the connection's admin key or from the vendor's words
when it refused a shard. Where it is not known and the vendor is slow to say no, shards are sent a few at a time, and as
many more as have passed its checks. A shard that met a full queue is put back until one of ours has ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from airflow_provider_llmbatch.core.limits import BYTES_PER_TOKEN, Limits
from airflow_provider_llmbatch.core.manifest import QUEUE_FULL, Event, ShardState
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.cap import has_room
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import BusyError, LLMBatchError, RequestTooLargeError

Room = Literal["free", "soon", "none"]
"""Whether a shard may be sent: now, once the vendor has checked what it has, or when something of ours has ended."""

BUSY_PAUSE = 60.0
"""Seconds to wait after a 429 that names no time, and where no batch of ours is in the queue to wait for."""
DOUBLINGS = 4
"""How often that doubles while others fill the queue: up to 16 minutes."""
FIRST_SHARDS = 4
"""Shards that are sent unchecked to a queue of unknown size. A job of so many (200,000 requests) loses no time by it,
and if the queue holds but one, three are uploaded in vain; a refused batch is not billed."""
CHECK_EVERY = 60.0
"""Seconds between two looks whether the vendor has checked what it has: that takes it a minute or some."""
_LIMIT = re.compile(r"\blimit(?: of|:)\s+(\d[\d,]*)", re.IGNORECASE)


def limits_of(job: Job) -> Limits:
    """Return what one batch of *job* may hold: no more than may be in the queue at once."""
    limits = job.hook.limits
    most = job.terms.max_enqueued_tokens
    if most is None or most * BYTES_PER_TOKEN + limits.envelope_bytes >= limits.max_bytes:
        return limits
    own = most * BYTES_PER_TOKEN + limits.envelope_bytes
    return replace(limits, max_bytes=own, source=f"max_enqueued_tokens={most:,}, {BYTES_PER_TOKEN} bytes to a token")


def read_queues(job: Job) -> dict[str, int]:
    """Ask the vendor's admin endpoint what its queues hold, if the connection may and the task does not say it.

    It is a help and nothing else: if it cannot be read, a warning says so, once, and the job goes on without it.
    """
    if job.is_offline or job.terms.max_enqueued_tokens is not None or job.hook.settings.admin_key is None:
        return {}
    try:
        return job.hook.read_queues()
    except LLMBatchError as error:
        job.log.warning("What the vendor's queue holds could not be read, so it is found out by trying: %s", error)
        return {}


def limit_of(job: Job, shard: ShardState) -> int | None:
    """Return what the queue of *shard* holds in the vendor's own measure, as far as it ever said so."""
    stated = [other.limit for other in _of_queue(job, shard, job.manifest.shards) if other.limit]
    return min(stated, default=job.manifest.queues.get(job.hook.queue_of(shard.shard)))


def room_for(job: Job, shard: ShardState) -> Room:
    """Return whether *shard* may be sent beside what is at the vendor. Where nothing is, it may, within the cap."""
    if not has_room(job, shard):
        return "none"
    terms = job.terms
    warming = job.manifest.rounds[-1].warming
    if warming is not None and warming.name != shard.name:
        return "none"
    if terms.max_active_batches is not None and len(_at_vendor(job.manifest.shards)) >= terms.max_active_batches:
        return "none"
    same_queue = _of_queue(job, shard, job.manifest.shards)
    queued = _at_vendor(same_queue)
    if not queued:
        return "free"
    beside = [other.shard for other in (*queued, shard)]
    limit = limit_of(job, shard)
    if terms.max_enqueued_tokens is not None and sum(map(_tokens, beside)) > terms.max_enqueued_tokens:
        return "none"
    if limit is not None and sum(map(job.hook.load_of, beside)) > limit:
        return "none"
    met = [other.met_full_queue for other in same_queue if other.met_full_queue]
    if met:
        return "free" if _is_released(max(met, key=lambda event: event.at), same_queue) else "none"
    is_known = limit is not None or terms.max_enqueued_tokens is not None
    return "free" if is_known or _is_trusted(job, same_queue, queued) else "soon"


def _is_released(full: Event, same_queue: Sequence[ShardState]) -> bool:
    """Return whether a queue that was full has room again: for one of ours for each that ended.

    What else is in the queue is not ours and nobody tells, so a limit alone says too little.
    """
    ended = sum(other.ended_at is not None and other.ended_at >= full.at for other in same_queue)
    sent = sum(other.submitted_at is not None and other.submitted_at >= full.at for other in same_queue)
    return sent < ended


def _is_trusted(job: Job, same_queue: Sequence[ShardState], queued: Sequence[ShardState]) -> bool:
    """Return whether one more may go to a queue of unknown size, by how many it has taken for good."""
    if job.hook.refuses_at_once:
        return True
    unchecked = sum(other.batch_id not in job.checked for other in queued)
    taken = len(queued) - unchecked + sum(other.ended_at is not None for other in same_queue)
    return unchecked < max(FIRST_SHARDS, taken)


def names_queue(busy: BusyError) -> bool:
    """Return whether a 429 is about the queue, and not about too many calls, which a pause mends."""
    return _LIMIT.search(str(busy)) is not None and "queue" in str(busy)


def put_back(job: Job, shard: ShardState, told: str, **facts: Any) -> None:
    """Make *shard* ready again: it only met a full queue. Nothing ran, nothing was billed.

    :param told: The vendor's words; they may name the limit.
    :raises RequestTooLargeError: It is one request, which that limit does not admit.
    """
    stated = _LIMIT.search(told)
    others = [other for other in _at_vendor(_of_queue(job, shard, job.manifest.shards)) if other.name != shard.name]
    job.record(
        "void",
        shard,
        reason=QUEUE_FULL,
        limit=int(stated[1].replace(",", "")) if stated else None,
        until=None if others else job.clock() + BUSY_PAUSE * 2 ** min(shard.alone, DOUBLINGS),
        **facts,
    )
    limit, load = limit_of(job, shard), job.hook.load_of(shard.shard)
    if shard.shard.count == 1 and not others and limit is not None and load > limit:
        raise RequestTooLargeError(
            f"record {shard.shard.first}: its request alone is some {load:,} tokens, and the vendor's queue holds "
            f"{limit:,}. It was refused and not billed; what is at the vendor runs on, and all is kept in "
            f"{job.folder.uri!r}. Have the limit raised, then clear this task; or shorten the record's prompt.",
            index=shard.shard.first,
            tokens=load,
            limit=limit,
        )
    job.log.warning(
        "Shard %s met a full queue and waits its turn; it was not billed. The vendor says: %s", shard.name, told
    )


def _at_vendor(shards: Sequence[ShardState]) -> list[ShardState]:
    return [shard for shard in shards if shard.phase in ("submitted", "unknown")]


def _of_queue(job: Job, shard: ShardState, others: Sequence[ShardState]) -> list[ShardState]:
    queue = job.hook.queue_of(shard.shard)
    return [other for other in others if job.hook.queue_of(other.shard) == queue]


def _tokens(shard: Shard) -> int:
    return -(-shard.bytes // BYTES_PER_TOKEN)
