"""A shard that a vendor has accepted, and how long to wait for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Status = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "cancelling",
    "completed",
    "failed",
    "expired",
    "cancelled",
    "unknown",
]
"""One vocabulary for every vendor. The first four and ``unknown`` are still open."""

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "expired", "cancelled"})

SHORTEST_PAUSE = 0.05
"""Seconds between two looks at the least, whatever interval was asked for."""

LAG_SECONDS = 10 * 60
"""A batch that was created less than this ago and is not found lags; it is not gone (FACTS §2.3)."""


class BatchError(msgspec.Struct, frozen=True):
    """Why a whole batch failed. Nothing ran, nothing was billed."""

    code: str
    message: str
    line: int | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at one batch, in words that are no vendor's. Times are epoch seconds.

    :ivar done: Requests that are finished, good or bad; ``None`` where the vendor does not tell before the end.
    :ivar files: Where the results lie: the vendor's ids by role (``input``, ``output``, ``error``).
    :ivar vendor_status: The vendor's own word.
    :ivar usage: Tokens of all its answers as the vendor counts them, by the names of a summary, as far as it tells.
    """

    batch_id: str
    status: Status
    vendor_status: str = ""
    total: int | None = None
    done: int | None = None
    errored: int | None = None
    created_at: float | None = None
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    files: dict[str, str] = {}
    errors: list[BatchError] = []
    marker: dict[str, str] = {}
    usage: dict[str, int] = {}

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to it. An expired batch is done: it holds results that were billed."""
        return self.status in TERMINAL

    def progress_line(self, *, now: float) -> str:
        """Return the line a person reads: ``Batch batch_1 - in_progress - 2m 15s - 1250/5000 done``."""
        until = self.ended_at if self.is_terminal and self.ended_at else now
        parts = [f"Batch {self.batch_id}", self.status, duration(until - (self.created_at or now))]
        if self.total:
            parts.append(f"{self.done}/{self.total} done" if self.done is not None else f"{self.total} requests")
        return " - ".join(parts)


def duration(seconds: float) -> str:
    """Write *seconds* for a person: ``45s``, ``2m 15s``, ``3h 05m``, ``1d 02h``."""
    whole = max(0, int(seconds))
    minutes, secs = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {secs:02}s" if minutes else f"{secs}s"


def next_look(age: float, *, poll_interval: float, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds until the next look at a batch that is *age* seconds old.

    Short at first, since small batches end in a minute, then up to *poll_interval*. *jitter* in [0, 1) spreads the
    looks of many jobs over a tenth of the interval.
    """
    pause = min(poll_interval, max(poll_interval / 12, age / 10))
    pause *= 1 + jitter / 10
    return max(pause, retry_after or 0.0, SHORTEST_PAUSE)


def as_time(value: Any) -> float | None:
    """Read a vendor's time: epoch seconds or ISO 8601, in UTC where it names no zone. Anything else says nothing."""
    if isinstance(value, (int, float)):
        return float(value)
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
