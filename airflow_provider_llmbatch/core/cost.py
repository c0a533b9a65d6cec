"""What a job took, in US dollars, from tokens and dated batch prices.

The figures come from ``genai-prices``. It answers in about 128 µs; a million rows cannot wait for that, so the rates
of a model are taken once and multiplied here. A test proves the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from importlib.metadata import version
from math import inf
from typing import Any

from msgspec.structs import replace

from airflow_provider_llmbatch.core.results import Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per million tokens; a tier's rate holds for all tokens of a request whose input is above its start."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """Return the rate for a request with *input_tokens* tokens of input."""
        found = self.base
        for start, price in self.tiers:
            if input_tokens > start:
                found = price
        return found


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one model charges, by kind of token."""

    input: Rate
    cache_read: Rate
    cache_write_5m: Rate
    cache_write_1h: Rate
    output: Rate

    @cached_property
    def bound(self) -> float:
        """Up to how many tokens of input a request has no tiers: then its price is linear."""
        rates = (self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.output)
        return min((start for rate in rates for start, _ in rate.tiers), default=inf)

    @cached_property
    def _per_token(self) -> tuple[Decimal, ...]:
        rates = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        return tuple(rate.base.scaleb(-6) for rate in rates)

    def price(self, usage: Usage) -> Decimal:
        """Return the price of one request. Tiers depend on a single request, so price each and then add."""
        if usage.input <= self.bound:
            return self.linear(usage)
        size, written = usage.input, usage.cache_write
        fresh = size - usage.cached_input - written
        cost = self.input.at(size) * fresh + self.output.at(size) * usage.output
        cost += self.cache_read.at(size) * usage.cached_input
        cost += self.cache_write_5m.at(size) * (written - usage.cache_write_1h)
        cost += self.cache_write_1h.at(size) * usage.cache_write_1h
        return cost.scaleb(-6)

    def linear(self, usage: Usage) -> Decimal:
        """Return the price of one request, or of several together, none of which has more input than :attr:`bound`."""
        given, made, read, write, write_1h = self._per_token
        cached, written = usage.cached_input, usage.cache_write
        if not cached and not written:
            return given * usage.input + made * usage.output
        long = usage.cache_write_1h
        cost = given * (usage.input - cached - written) + made * usage.output
        return cost + read * cached + write * (written - long) + write_1h * long

    def saved_by_cache(self, usage: Usage) -> Decimal:
        """Return how much more one request would have cost without a cache; below zero if it only wrote to one."""
        return self.price(_uncached(usage)) - self.price(usage)

    def linear_saved_by_cache(self, usage: Usage) -> Decimal:
        """Return the same for requests as in :meth:`linear`."""
        return self.linear(_uncached(usage)) - self.linear(usage)


def _uncached(usage: Usage) -> Usage:
    return replace(usage, cached_input=0, cache_write=0, cache_write_1h=0)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Batch and synchronous rates of one model on one day.

    :ivar discounted: Whether the batch rates differ from the standard ones. The library falls back to the standard
        price without a word, so equal rates mean *discount unknown*.
    """

    batch: Rates
    standard: Rates
    source: str

    @property
    def discounted(self) -> bool:
        return self.batch != self.standard


@lru_cache(maxsize=256)
def price_book(vendor: str, model: str, day: datetime) -> PriceBook | None:
    """Return the rates of *model*, or ``None`` where no price is known.

    :param vendor: The vendor's id in ``genai-prices``.
    :param model: The model's name, dated snapshots included.
    :param day: Prices are dated; an old job keeps the prices of its day.
    """
    batch = _rates(vendor, model, day, {"processing": "batch"})
    standard = _rates(vendor, model, day, None)
    if batch is None or standard is None:
        return None
    return PriceBook(batch, standard, f"genai-prices {version('genai-prices')} batch")


def _rates(vendor: str, model: str, day: datetime, context: dict[str, str] | None) -> Rates | None:
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    try:
        found = calc_price(
            PricedUsage(input_tokens=0, output_tokens=0),
            model,
            provider_id=vendor,
            genai_request_timestamp=day,
            price_context=context,
        ).model_price
    except LookupError:
        return None
    if found.input_mtok is None:  # sold by the minute, the picture or the character
        return None
    base = _rate(found.input_mtok)
    write = _rate(found.cache_write_mtok, base)
    return Rates(
        input=base,
        cache_read=_rate(found.cache_read_mtok, base),
        cache_write_5m=_rate(found.cache_write_5m_mtok, write),
        cache_write_1h=_rate(found.cache_write_1h_mtok, write),
        output=_rate(found.output_mtok),
    )


def _rate(price: Any, default: Rate | None = None) -> Rate:
    if price is None:
        return default or Rate(Decimal(0))
    if isinstance(price, Decimal):
        return Rate(price)
    return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers))
