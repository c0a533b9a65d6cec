"""The books: every call in order, and what had to be paid for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import disk
from airflow_provider_llmbatch.emulator.batch import Batch
from airflow_provider_llmbatch.emulator.clock import Clock
from airflow_provider_llmbatch.emulator.usage import FIELDS, NOTHING, Usage
from airflow_provider_llmbatch.emulator.wire import VENDORS, Vendor

MAX_CALLS = 100_000
"""Calls that are held in memory; the file has them all."""


class Entry(msgspec.Struct, kw_only=True):
    """One call."""

    number: int
    operation: str
    method: str
    path: str
    at: float
    """Wall time, epoch seconds."""
    status: int | None = None
    """HTTP status of the answer; ``None`` while there is none, and when the connection was reset."""
    seconds: float | None = None
    request_bytes: int = 0
    request_id: str = ""
    fault: str = ""
    """What a fault did to it."""


class Paid(msgspec.Struct):
    """One synchronous call that has to be paid for."""

    vendor: Vendor
    model: str
    usage: Usage


class Books:
    """Calls and synchronous purchases, kept in two files of lines.

    :param folder: Where ``calls.jsonl`` and ``paid.jsonl`` are.
    """

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls.jsonl"
        self._paid = folder / "paid.jsonl"
        known = sorted(disk.lines(self._calls, Entry), key=lambda entry: entry.number)
        self.calls = deque(known, maxlen=MAX_CALLS)
        self.counts = Counter(entry.operation for entry in known)
        self.paid: dict[Vendor, tuple[int, Usage]] = dict.fromkeys(VENDORS, (0, NOTHING))
        for paid in disk.lines(self._paid, Paid):
            self._add(paid)
        self._next = known[-1].number + 1 if known else 1

    def open(self, operation: str, method: str, path: str, at: float) -> Entry:
        """Enter a call that has just come in."""
        entry = Entry(number=self._next, operation=operation, method=method, path=path, at=at)
        self._next += 1
        self.calls.append(entry)
        self.counts[operation] += 1
        return entry

    def close(self, entry: Entry) -> None:
        """Keep a call that is over."""
        disk.append(self._calls, entry)

    def pay(self, vendor: Vendor, model: str, usage: Usage) -> None:
        """Enter a synchronous call that has been answered."""
        paid = Paid(vendor, model, usage)
        disk.append(self._paid, paid)
        self._add(paid)

    def _add(self, paid: Paid) -> None:
        count, usage = self.paid[paid.vendor]
        self.paid[paid.vendor] = (count + 1, usage + paid.usage)

    def describe_calls(self, operation: str | None = None, since: int = 0) -> dict[str, Any]:
        """Return the calls after number *since*, and how many there were of each operation in all."""
        chosen = [e for e in self.calls if e.number > since and operation in (None, e.operation)]
        return {
            "calls": [msgspec.to_builtins(entry) for entry in chosen],
            "counts": dict(self.counts),
        }

    def bill(self, batches: Iterable[Batch], clock: Clock) -> dict[str, Any]:
        """Return every batch that was accepted and what it cost, with totals by vendor and over all."""
        now = clock.now()
        items = [_bill_batch(batch, now) for batch in batches]
        by_vendor = {
            vendor: self._sum(vendor, [item for item in items if item["vendor"] == vendor]) for vendor in VENDORS
        }
        return {"batches": items, "by_vendor": by_vendor, "total": _total(list(by_vendor.values()))}

    def _sum(self, vendor: Vendor, items: list[dict[str, Any]]) -> dict[str, Any]:
        calls, usage = self.paid[vendor]
        return {
            "batches": len(items),
            "requests": sum(item["requests"] for item in items),
            "requests_billed": sum(item["requests_billed"] for item in items),
            "tokens": {name: sum(item["tokens"][name] for item in items) for name in FIELDS},
            "sync_calls_billed": calls,
            "sync_tokens": msgspec.to_builtins(usage),
        }


def _total(sums: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up documents of the same shape, number by number."""
    return {
        name: _total([one[name] for one in sums]) if isinstance(value, dict) else sum(one[name] for one in sums)
        for name, value in sums[0].items()
    }


def _bill_batch(batch: Batch, now: float) -> dict[str, Any]:
    ended = batch.ended
    return {
        "id": batch.id,
        "vendor": batch.created.vendor,
        "created_at": batch.created.created_at,
        "metadata": batch.created.details.get("metadata"),
        "requests": batch.total,
        "sha256": batch.created.sha256,
        "status": batch.status(now),
        "requests_billed": ended.succeeded if ended else 0,
        "tokens": msgspec.to_builtins(ended.usage if ended else NOTHING),
        "price": "standard" if batch.fault("full_price") else "batch",
        "deleted": batch.deleted,
    }
