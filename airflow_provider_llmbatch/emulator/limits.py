"""Rate limits: token buckets per vendor and model that fill up by wall time."""

from __future__ import annotations

import dataclasses

from airflow_provider_llmbatch.emulator.clock import Clock


@dataclasses.dataclass(slots=True)
class Bucket:
    """Holds at most *size*, and is full again after a minute."""

    size: float
    left: float
    filled: float

    def refill(self, watch: float) -> None:
        """Bring it up to date."""
        self.left = min(self.size, self.left + (watch - self.filled) * self.size / 60)
        self.filled = watch

    def wait(self, wanted: float) -> float:
        """Return the seconds until *wanted* can be taken."""
        return max(0.0, (min(wanted, self.size) - self.left) * 60 / self.size)

    @property
    def reset(self) -> float:
        """Seconds until it is full."""
        return (self.size - self.left) * 60 / self.size


class Limits:
    """All buckets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.buckets: dict[str, Bucket] = {}

    def bucket(self, name: str, per_minute: int) -> Bucket:
        """Return the bucket called *name*, up to date; a new limit makes a new bucket."""
        watch = self.clock.watch()
        bucket = self.buckets.get(name)
        if bucket is None or bucket.size != per_minute:
            bucket = self.buckets[name] = Bucket(per_minute, per_minute, watch)
        bucket.refill(watch)
        return bucket
