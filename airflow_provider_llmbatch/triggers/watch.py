"""Watching a job's batches until it is time to go on. The trigger does this, and an operator that does not defer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import msgspec
from asgiref.sync import sync_to_async

from airflow_provider_llmbatch._compat import Log
from airflow_provider_llmbatch._report import report
from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.progress import is_news, progress
from airflow_provider_llmbatch.triggers.poller import Look, poller

REPORT_EVERY = 5.0
"""Seconds between two writes of the job's record at the least."""
FAILED_LOOK_EVERY = 10
"""A vendor that does not answer is logged the first time and then every so many looks."""

Reason = Literal["ended", "wake", "deadline"]


class Event(TypedDict):
    """What the resumed task gets. Everything else it needs is in the job's folder."""

    schema: int
    job_uri: str | None
    reason: Reason
    batches: dict[str, Any]


@dataclass(kw_only=True)
class Waiting:
    """What to wait for, in JSON primitives: Airflow stores it while the task is deferred.

    :ivar batch_ids: Our batches.
    :ivar candidates: Batches that may be ours: watched, never cancelled.
    :ivar job_uri: Where the job lies; the resumed task goes on from there.
    :ivar until: Go on when ``any`` or ``all`` of the batches have ended.
    :ivar wake_at: Go on at this time in any case (epoch seconds).
    :ivar give_up_at: Go on at this time with the reason ``deadline`` (epoch seconds).
    :ivar poll_interval: Seconds between two looks, at most; young batches are looked at sooner.
    :ivar task_instance: Whose record is kept up to date; empty: nobody's.
    :ivar record: The record so far.
    """

    vendor: str
    conn_id: str | None
    batch_ids: list[str]
    candidates: list[str] = field(default_factory=list)
    job_uri: str | None = None
    until: Literal["any", "all"] = "all"
    wake_at: float | None = None
    give_up_at: float | None = None
    poll_interval: float = 60.0
    task_instance: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


class Watcher:
    """Waits for what :class:`Waiting` says, logs progress, and keeps the job's record up to date."""

    def __init__(self, waiting: Waiting, log: Log) -> None:
        self._waiting = waiting
        self._watched = {*waiting.batch_ids, *waiting.candidates}
        self._log = log
        self._batches: dict[str, Batch] = {}
        self._lines: dict[str, str] = {}
        self._reported: Mapping[str, Any] | None = None
        self._reported_at = 0.0
        self._failed_looks = 0

    async def run(self) -> Event:
        """Return once there is something to do."""
        waiting = self._waiting
        reason = self._reason()
        if reason is None:
            async with (
                poller(waiting.vendor, waiting.conn_id) as shared,
                shared.watching(self._watched, waiting.poll_interval) as watch,
            ):
                while reason is None:
                    look: Look = {}
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._longest_wait()):
                            look = await watch.looks.get()
                    if watch.broken is not None:
                        raise watch.broken
                    watch.batch_ids -= self._note(look)
                    await self._report()
                    reason = self._reason()
        return Event(
            schema=1,
            job_uri=waiting.job_uri,
            reason=reason,
            batches={batch_id: batch.status for batch_id, batch in self._batches.items()},
        )

    def _note(self, look: Look) -> set[str]:
        """Take in one look; return the batches that need no further one."""
        if isinstance(look, Exception):
            if self._failed_looks % FAILED_LOOK_EVERY == 0:
                self._log.warning("A look at the batches failed and says nothing about them: %s", look)
            self._failed_looks += 1
            return set()
        self._failed_looks = 0
        self._batches |= look
        for batch in look.values():
            state = msgspec.json.encode(batch).decode()
            if self._lines.get(batch.batch_id) != state:
                self._lines[batch.batch_id] = state
                self._log.info("%s", batch.progress_line(now=time.time()))
        return {batch_id for batch_id, batch in look.items() if batch.is_terminal}

    def _reason(self) -> Reason | None:
        waiting, now = self._waiting, time.time()
        ended = {batch_id for batch_id, batch in self._batches.items() if batch.is_terminal}
        if ended and (waiting.until == "any" or ended >= self._watched):
            return "ended"
        if waiting.wake_at is not None and now >= waiting.wake_at:
            return "wake"
        if waiting.give_up_at is not None and now >= waiting.give_up_at:
            return "deadline"
        return None

    def _longest_wait(self) -> float | None:
        times = [at for at in (self._waiting.wake_at, self._waiting.give_up_at) if at is not None]
        return max(0.05, min(times) - time.time()) if times else None

    async def _report(self) -> None:
        waiting, now = self._waiting, time.time()
        if not waiting.task_instance or now - self._reported_at < REPORT_EVERY:
            return
        record = progress(waiting.record, self._batches.values(), now=now)
        if is_news(self._reported, record):
            self._reported, self._reported_at = record, now
            await sync_to_async(report)(waiting.task_instance, record)
