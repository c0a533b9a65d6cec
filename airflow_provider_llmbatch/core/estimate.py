"""What a round will take, before anything of it was sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.core.shards import Shard

SCHEMA = 1


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A number of tokens before it is known.

    :ivar expected: ``None``: no earlier job tells.
    :ivar error: How far off that may be: two standard errors.
    :ivar at_most: ``None``: some request sets no bound.
    """

    expected: int | None
    error: int = 0
    at_most: int | None


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """The same in US dollars."""

    expected: Decimal | None
    error: Decimal = Decimal(0)
    at_most: Decimal | None

    @property
    def upper(self) -> Decimal | None:
        """What to count on: what is expected and its error, or else the most; never more than that."""
        if self.expected is None:
            return self.at_most
        upper = self.expected + self.error
        return upper if self.at_most is None else min(upper, self.at_most)

    @property
    def best(self) -> Decimal | None:
        """The one number to name: what is expected, or else the most."""
        return self.at_most if self.expected is None else self.expected


class LaneEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the shards of one lane will cost together, so that each can be given its share.

    :ivar input_usd: For the input, as far as to count on; ``None``: no price is known.
    :ivar output_usd: For the answers; ``None`` as well where nothing bounds them.
    """

    lane: str
    requests: int
    bytes: int
    input_usd: Decimal | None
    output_usd: Decimal | None

    def share_of(self, shard: Shard) -> Decimal | None:
        """Return what *shard* of this lane will cost, as far as to count on."""
        if self.input_usd is None or self.output_usd is None:
            return None
        return self.input_usd * shard.bytes / self.bytes + self.output_usd * shard.count / self.requests


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one round will take: ``estimate.json`` for the first.

    What is expected counts what is asked again, as far as that was so in earlier jobs; what it takes at most does not.

    :ivar at: Epoch seconds.
    :ivar question: Digest of the question; answers to another one tell nothing of these.
    :ivar sampled: Requests that were counted; the rest is extrapolated.
    :ivar text_tokens: Tokens of all texts by the figures of :mod:`~airflow_provider_llmbatch.core.texts`, uncorrected.
    :ivar jobs: Runs of the earlier jobs by which they are corrected; none: by nothing.
    :ivar cost_usd: At batch prices; ``None``: some model has no known price.
    :ivar sync_cost_usd: The same, asked one by one.
    :ivar unpriced: Models without a known price.
    """

    schema: int = SCHEMA
    round: int
    at: float
    vendor: str
    model: str
    question: str
    requests: int
    bytes: int
    sampled: int
    characters: int
    text_tokens: int
    characters_per_token: float | None
    jobs: list[str]
    input_tokens: Tokens
    output_tokens: Tokens
    cost_usd: Money | None
    sync_cost_usd: Money | None
    saved_usd: Decimal | None
    price_source: str | None
    unpriced: list[str]
    lanes: list[LaneEstimate]

    def share_of(self, shard: Shard) -> Decimal | None:
        """Return what *shard* will cost, as far as to count on, or ``None`` if nobody knows."""
        return next((lane.share_of(shard) for lane in self.lanes if lane.lane == shard.lane), None)

    def in_short(self) -> dict[str, Any]:
        """Return the two numbers that a job's summary repeats."""
        cost = self.cost_usd
        return {
            "expected": None if cost is None or cost.expected is None else money(cost.expected),
            "at_most": None if cost is None or cost.at_most is None else money(cost.at_most),
        }


def dollars(amount: Decimal | None) -> str:
    """Write *amount* for a person: to the cent, or to three digits where it is less than a dollar."""
    if amount is None:
        return "unknown"
    return f"{amount:,.2f} USD" if amount >= 1 else f"{money(Decimal(f'{amount:.3g}'))} USD"
