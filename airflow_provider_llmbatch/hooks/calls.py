"""What goes between a hook and whoever calls it: single calls, pages of a list, and what a batch is known by."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

from airflow_provider_llmbatch.core.batches import Batch

T = TypeVar("T")


class Call(NamedTuple):
    """One reading call: a path below the connection's own host, and its query."""

    path: str
    params: dict[str, Any] = {}  # noqa: RUF012 - never changed


Steps: TypeAlias = Generator[Call, bytes, T]


class Page(NamedTuple):
    """One page of the vendor's list, newest first.

    :ivar after: Cursor of the next page, or ``None`` on the last one.
    """

    batches: list[Batch]
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What we know of one submission, to recognise its batch by.

    :ivar job: The job's ten hex digits.
    :ivar shard: Stem of round and shard, such as ``r1-00000``; every attempt at it has the same.
    :ivar sha256: Digest of the request file.
    :ivar count: Requests in it.
    :ivar since: Epoch seconds of the intent, by our clock.
    :ivar lane: What the shard's requests have in common.
    """

    job: str
    shard: str
    sha256: str
    count: int
    since: float
    lane: str = ""

    def as_metadata(self) -> dict[str, str]:
        """Return the part that a vendor with metadata keeps for us."""
        return {"llmbatch_job": self.job, "llmbatch_shard": self.shard, "llmbatch_sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a look-up for a lost answer found.

    :ivar certain: The batch that is ours beyond doubt, or ``None``.
    :ivar candidates: Batches that may be ours and cannot be told apart yet.
    """

    certain: Batch | None = None
    candidates: list[Batch] = field(default_factory=list)
