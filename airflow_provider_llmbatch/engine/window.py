"""How much of a job may be at the vendor at once: the task's own bounds, and what the vendor's queue has taken.

No vendor tells ahead how full its queue is. OpenAI takes the batch and fails it minutes later, unbilled; Anthropic
answers 429 (FACTS §1.2, §2.2). A shard that met a full queue is put back until one of ours has ended, and a limit that
the vendor names is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_llmbatch.core.limits import BYTES_PER_TOKEN, Limits
from airflow_provider_llmbatch.core.manifest import QUEUE_FULL, Event, ShardState
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.exceptions import BusyError

BUSY_PAUSE = 60.0
"""Seconds to wait after a 429 that names no time, and where no batch of ours is in the queue to wait for."""
_LIMIT = re.compile(r"\blimit(?: of|:)\s+(\d[\d,]*)", re.IGNORECASE)


def limits_of(job: Job) -> Limits:
    """Return what one batch of *job* may hold: no more than may be in the queue at once."""
    limits = job.hook.limits
    most = job.terms.max_enqueued_tokens
    if most is None:
        return limits
    return replace(limits, max_bytes=min(limits.max_bytes, most * BYTES_PER_TOKEN + limits.envelope_bytes))


def has_room(job: Job, shard: ShardState) -> bool:
    """Return whether *shard* may be sent beside what is at the vendor. Where nothing is, it may."""
    terms = job.terms
    at_vendor = _at_vendor(job.manifest.shards)
    if terms.max_active_batches is not None and len(at_vendor) >= terms.max_active_batches:
        return False
    same_queue = _of_queue(job, shard, job.manifest.shards)
    queued = _at_vendor(same_queue)
    if not queued:
        return True
    beside = [other.shard for other in (*queued, shard)]
    if terms.max_enqueued_tokens is not None and sum(map(_tokens, beside)) > terms.max_enqueued_tokens:
        return False
    met = [other.met_full_queue for other in same_queue if other.met_full_queue]
    return not met or _fits(job, max(met, key=lambda event: event.at), same_queue, beside)


def _fits(job: Job, full: Event, same_queue: Sequence[ShardState], beside: Sequence[Shard]) -> bool:
    """Return whether there is room in a queue that was full: within the limit that it named, one for each that ended.

    What else is in the queue is not ours and nobody tells, so a limit alone says too little.
    """
    ended = sum(other.ended_at is not None and other.ended_at >= full.at for other in same_queue)
    sent = sum(other.submitted_at is not None and other.submitted_at >= full.at for other in same_queue)
    return sent < ended and (full.limit is None or sum(map(job.hook.load_of, beside)) <= full.limit)


def names_queue(busy: BusyError) -> bool:
    """Return whether a 429 is about the queue, and not about too many calls, which a pause mends."""
    return _LIMIT.search(str(busy)) is not None and "queue" in str(busy)


def put_back(job: Job, shard: ShardState, told: str, **facts: Any) -> None:
    """Make *shard* ready again: it only met a full queue. Nothing ran, nothing was billed.

    :param told: The vendor's words; they may name the limit.
    """
    stated = _LIMIT.search(told)
    others = [other for other in _at_vendor(_of_queue(job, shard, job.manifest.shards)) if other.name != shard.name]
    job.record(
        "void",
        shard,
        reason=QUEUE_FULL,
        limit=int(stated[1].replace(",", "")) if stated else None,
        until=None if others else job.clock() + BUSY_PAUSE,
        **facts,
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
