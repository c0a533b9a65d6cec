"""What a round will take, before anything of it was sent."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.core.shards import Shard

SCHEMA = 1
NOTHING = Decimal(0)
_FRACTION = Decimal("1e-12")


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
    """What the shards of one lane cost, beside those of the others: it tells what a single shard's share is.

    :ivar input_usd: For the input; ``None``: no price is known.
    :ivar output_usd: For the answers; ``None`` as well where nothing bounds them.
    """

    lane: str
    requests: int
    bytes: int
    input_usd: Decimal | None
    output_usd: Decimal | None

    def part(self, size: int, count: int) -> Decimal:
        """Return what *count* requests of *size* bytes cost."""
        given, made = self.input_usd or NOTHING, self.output_usd or NOTHING
        return given * size / self.bytes + made * count / self.requests


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
        """Return what *shard* will cost, as far as to count on, or ``None`` if nobody knows.

        The shares of all shards are, together, no more than the whole.
        """
        upper = self.cost_usd.upper if self.cost_usd else None
        whole = sum((lane.part(lane.bytes, lane.requests) for lane in self.lanes), NOTHING)
        if upper is None or not whole:
            return upper
        mine = next(lane.part(shard.bytes, shard.count) for lane in self.lanes if lane.lane == shard.lane)
        return (upper * mine / whole).quantize(_FRACTION, ROUND_DOWN)

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
