"""What each batch and round took, and whether the discount was given, as far as prices and vendor tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.core.results import NO_USAGE
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.till import NOTHING, Receipt, Till

Discount = Literal["applied", "unknown", "not applied"]


class Bill:
    """What a job took, by batch. Call it once all its rows are priced."""

    def __init__(self, job: Job, till: Till) -> None:
        self._job = job
        self._till = till
        self._shards = [shard for shard in job.manifest.shards if shard.batch_id]
        for receipt in till.receipts.values():
            receipt.close()

    def _receipt(self, shard: ShardState) -> Receipt:
        return self._till.receipts[shard.batch_id]

    def batches(self) -> list[dict[str, Any]]:
        """Return every batch that counts, in the order of rounds and shards."""
        return [
            {
                "batch_id": shard.batch_id,
                "round": shard.round,
                "shard": shard.name,
                "lane": shard.shard.lane,
                "requests": shard.shard.count,
                "rows": shard.tally.statuses if shard.tally else {},
                "usage": self._receipt(shard).usage.as_summary(),
                "vendor_usage": shard.batch.usage if shard.batch else {},
                "full_price": shard.full_price,
                "cost_usd": text(self._receipt(shard).cost),
                **{f"{name}_at": iso(at) for name, at in times_of(shard).items()},
            }
            for shard in self._shards
        ]

    def rounds(self) -> list[dict[str, Any]]:
        """Return what each round took."""
        return [self._round(round_.number) for round_ in self._job.manifest.rounds]

    def _round(self, number: int) -> dict[str, Any]:
        shards = [shard for shard in self._shards if shard.round == number]
        rows: Counter[str] = Counter()
        for shard in shards:
            rows.update(shard.tally.statuses if shard.tally else {})
        costs = [self._receipt(shard).cost for shard in shards]
        return {
            "round": number,
            "batches": len(shards),
            "requests": sum(shard.shard.count for shard in shards),
            "rows": dict(rows),
            "usage": sum((self._receipt(shard).usage for shard in shards), NO_USAGE).as_summary(),
            "cost_usd": text(_sum(costs)),
        }

    def discount(self) -> Discount:
        """Say whether the batch price was given: as the answers say, else as the prices do.

        Where a price list has no batch price of its own it names the standard one, and nobody knows.
        """
        if any(shard.full_price for shard in self._shards):
            return "not applied"
        till = self._till
        return "unknown" if till.unpriced or till.undiscounted else "applied"

    def warnings(self) -> Iterator[str]:
        """Yield what whoever pays should look into, with batches and numbers."""
        till = self._till
        if till.unpriced:
            yield f"No price is known for {', '.join(till.unpriced)}: the cost is unknown, not zero."
        if till.undiscounted:
            yield (
                f"No batch price is known for {', '.join(till.undiscounted)}: the cost is at the standard price, and "
                "whether a discount was given is unknown."
            )
        yield from self._full_price()
        yield from self._differences()

    def _full_price(self) -> Iterator[str]:
        found = {shard.batch_id: shard.full_price for shard in self._shards if shard.full_price}
        if not found:
            return
        answers = ", ".join(f"{count:,} of {batch_id}" for batch_id, count in list(found.items())[:5])
        standard, costs = text(self._till.standard), text(_sum([self._receipt(shard).cost for shard in self._shards]))
        yield (
            f"The discount was not applied to {sum(found.values()):,} answers in {len(found):,} batches, as these say "
            f"themselves ({answers}). All of the job's tokens cost {costs} USD at the batch price, which is what the "
            f"rows say, and {standard} USD at the standard price. Compare them with the invoice."
        )

    def _differences(self) -> Iterator[str]:
        differ: dict[str | None, str] = {}
        for shard in self._shards:
            ours = self._receipt(shard).usage.as_summary()
            theirs = shard.batch.usage if shard.batch else {}
            odd = [f"{theirs[name]:,} {name}, not {ours[name]:,}" for name in theirs if theirs[name] != ours[name]]
            if odd:
                differ[shard.batch_id] = ", ".join(odd)
        if differ:
            said = "; ".join(f"{batch_id}: {odd}" for batch_id, odd in list(differ.items())[:5])
            yield (
                f"{self._job.hook.vendor} counts other tokens for {len(differ):,} batches than their answers add up to "
                f"({said}). The cost is that of the answers; an invoice may follow the vendor's count."
            )


def times_of(shard: ShardState, seen: Batch | None = None) -> dict[str, float | None]:
    """Return when a shard's batch came how far, in epoch seconds. *Collected* is when its answers were in our hands.

    :param seen: The batch as it stands just now, if it has not ended.
    """
    batch = shard.batch or seen
    return {
        "submitted": shard.submitted_at,
        "in_progress": batch.in_progress_at if batch else None,
        "finalizing": batch.finalizing_at if batch else None,
        "ended": batch.ended_at if batch else None,
        "collected": shard.collected_at,
    }


def text(amount: Decimal | None) -> str | None:
    """Write dollars, or nothing where they are not known."""
    return None if amount is None else money(amount)


def iso(seconds: float | None) -> str | None:
    """Write a time, in UTC, or nothing where it is not known."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _sum(costs: list[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, NOTHING) if len(known) == len(costs) else None
