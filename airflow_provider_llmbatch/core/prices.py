"""Prices of one's own: what a contract says, what the price list lacks, or what it has wrong.

    [[prices]]
    vendor = "openai"
    model = "gpt-6-luna"              # its dated snapshots, too; "*": every model of the vendor
    valid_from = 2026-11-01           # for jobs begun from that day on; left out: for all
    standard = { input = "0.09", cached_input = "0.009", output = "0.45" }
    batch = 0.5                       # a factor, or prices of its own like `standard`

Prices are US dollars per million tokens. Every figure is read as the decimal that it is written as, with six decimals
at most: so a row's cost fits into the 18 decimals of its column, whatever is multiplied with what.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.cost import PriceBook, Rate, Rates, price_book

DECIMALS = 6
"""Of a price or a factor, at most."""
MOST = 1_000_000
"""Dollars for a million tokens, which no price reaches."""
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class Tiered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price that depends on the size of a request.

    :ivar above: Prices of all tokens of a request, by the tokens of input that it must have more than.
    """

    base: Decimal
    above: dict[int, Decimal]


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices by kind of token. What is cached or written to a cache costs what input costs, unless it says otherwise.

    :ivar cache_write_1h: Left out: that of ``cache_write``.
    """

    input: Decimal | Tiered
    output: Decimal | Tiered
    cached_input: Decimal | Tiered | None = None
    cache_write: Decimal | Tiered | None = None
    cache_write_1h: Decimal | Tiered | None = None

    def rates(self) -> Rates:
        """Return them as the rates that requests are priced with."""
        plain = _rate(self.input)
        write = plain if self.cache_write is None else _rate(self.cache_write)
        return Rates(
            input=plain,
            cache_read=plain if self.cached_input is None else _rate(self.cached_input),
            cache_write_5m=write,
            cache_write_1h=write if self.cache_write_1h is None else _rate(self.cache_write_1h),
            output=_rate(self.output),
        )


class OwnPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of the file.

    :ivar model: A model; its dated snapshots share its price. ``*``: every model of the vendor.
    :ivar batch: What a batch costs: a factor on the standard price, 0 to 1, or prices of its own.
    :ivar standard: The synchronous price; ``None``: that of the price list.
    :ivar valid_from: The day (UTC) from which on jobs that begin have this price; ``None``: all jobs.
    """

    vendor: str
    model: str
    batch: Decimal | Prices
    standard: Prices | None = None
    valid_from: date | None = None

    @property
    def since(self) -> date:
        """The first day on which it holds."""
        return self.valid_from or date.min

    def fits(self, model: str) -> int:
        """Return how closely it names *model*: by its name, by that without a date, as one of all; 0: it does not."""
        names = {"*": 1, _DATED.sub("", model): 2, model: 3}
        return names.get(self.model, 0)

    def book(self, model: str, day: datetime, source: str) -> PriceBook | None:
        """Return the rates of *model* on *day*; ``None`` where they build upon a price list that does not know it."""
        listed = price_book(self.vendor, model, day) if self.standard is None else None
        standard = self.standard.rates() if self.standard else listed.standard if listed else None
        if standard is None:
            return None
        batch = _times(standard, self.batch) if isinstance(self.batch, Decimal) else self.batch.rates()
        return PriceBook(batch, standard, source)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prices: list[OwnPrice]


def read_prices(document: bytes, *, as_json: bool) -> list[OwnPrice]:
    """Read a file of prices, TOML or JSON.

    :raises ValueError: It is not what it should be; the message says where.
    """
    text = document.decode("utf-8-sig")
    loads = json.loads if as_json else tomllib.loads
    try:
        entries = msgspec.convert(loads(text, parse_float=Decimal), _File, str_keys=True).prices
    except msgspec.ValidationError as error:  # a ValueError in newer releases of msgspec only
        raise ValueError(str(error)) from None
    for number, entry in enumerate(entries):
        wrong = _mistake(entry, entries[:number])
        if wrong:
            raise ValueError(f"prices[{number}] ({entry.vendor}:{entry.model}): {wrong}")
    return entries


def _mistake(entry: OwnPrice, earlier: Sequence[OwnPrice]) -> str | None:
    """Return what is wrong with an entry that has the right form."""
    if any((old.vendor, old.model, old.since) == (entry.vendor, entry.model, entry.since) for old in earlier):
        return "an earlier entry is for the same model from the same day on"
    if isinstance(entry.batch, Decimal) and not (_is_figure(entry.batch) and entry.batch <= 1):
        return f"batch is a factor between 0 and 1 with {DECIMALS} decimals at most, not {entry.batch}"
    rates = [prices.rates() for prices in (entry.standard, entry.batch) if isinstance(prices, Prices)]
    amounts = [amount for each in rates for rate in _all(each) for amount in (rate.base, *dict(rate.tiers).values())]
    wrong = next((amount for amount in amounts if not _is_figure(amount)), None)
    return None if wrong is None else f"{wrong} is not a price with {DECIMALS} decimals at most"


def _is_figure(amount: Decimal) -> bool:
    return amount.is_finite() and 0 <= amount < MOST and amount == amount.quantize(Decimal(1).scaleb(-DECIMALS))


def book_for(own: Sequence[OwnPrice], vendor: str, model: str, day: datetime, source: str) -> PriceBook | None:
    """Return the rates of *model*: one's own where there are any, else those of the price list.

    The entry counts that names the model most closely, and of several such the latest that holds on *day*.

    :param source: Where *own* comes from.
    """
    fitting = [one for one in own if one.vendor == vendor and one.since <= day.date() and one.fits(model)]
    if not fitting:
        return price_book(vendor, model, day)
    return max(fitting, key=lambda one: (one.fits(model), one.since)).book(model, day, source)


def _rate(price: Decimal | Tiered) -> Rate:
    if isinstance(price, Decimal):
        return Rate(price)
    return Rate(price.base, tuple(sorted(price.above.items())))


def _all(rates: Rates) -> list[Rate]:
    return [rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.output]


def _times(rates: Rates, factor: Decimal) -> Rates:
    def less(rate: Rate) -> Rate:
        return Rate(rate.base * factor, tuple((start, price * factor) for start, price in rate.tiers))

    changes: dict[str, Any] = {name: less(getattr(rates, name)) for name in rates.__dataclass_fields__}
    return replace(rates, **changes)
