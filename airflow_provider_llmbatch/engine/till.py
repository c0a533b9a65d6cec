"""What answers cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter

from airflow_provider_llmbatch.core.cost import PriceBook, price_book
from airflow_provider_llmbatch.core.results import Result, Usage
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine.job import Job

NOTHING = Decimal(0)
_input = attrgetter("input")


class Till:
    """Prices answers as the vendor bills them: one by one, since tiers depend on a single request.

    The prices are those of the day on which the job was begun, so that an old job keeps its price.
    """

    def __init__(self, job: Job) -> None:
        self._vendor = job.hook.vendor
        self._asked = job.spec.model
        self._day = datetime.fromtimestamp(job.spec.created_at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._books: dict[str, PriceBook | None] = {}
        self.standard: Decimal | None = NOTHING
        self.saved_by_cache = NOTHING

    def open(self) -> None:
        """Look up the prices now: children that are forked then need not."""
        self._book(self._asked)

    def take(self, answers: list[Answer]) -> Decimal | None:
        """Return what all *answers* to one record cost, or ``None`` if one of them has no known price."""
        prices = [self.price(answer.result) for answer in answers]
        known = [price for price in prices if price is not None]
        return sum(known, NOTHING) if len(known) == len(prices) else None

    def take_all(self, results: Sequence[Result], usages: Sequence[Usage], total: Usage) -> Sequence[Decimal | None]:
        """Return what each of many answers cost; it is quick where one model gave them and no tier is reached.

        :param usages: Of each answer.
        :param total: Of all of them.
        """
        models = {result.model for result in results}
        book = self._book(models.pop() or self._asked) if len(models) == 1 else None
        if book is None or max(map(_input, usages)) > min(book.batch.bound, book.standard.bound):
            return list(map(self.price, results))
        if self.standard is not None:
            self.standard += book.standard.linear(total)
        self.saved_by_cache += book.batch.linear_saved_by_cache(total)
        return list(map(book.batch.linear, usages))

    def join(self, other: Till) -> None:
        """Add what *other* has taken."""
        self._books.update(other._books)
        self.saved_by_cache += other.saved_by_cache
        self.standard = None if self.standard is None or other.standard is None else self.standard + other.standard

    def price(self, result: Result) -> Decimal | None:
        """Return what one answer cost, or ``None`` if its price is not known."""
        usage = result.usage
        if not usage.input and not usage.output:
            return NOTHING
        model = result.model or self._asked
        book = self._books.get(model) or self._book(model)
        if book is None:
            self.standard = None
            return None
        if self.standard is not None:
            self.standard += book.standard.price(usage)
        if usage.cached_input or usage.cache_write:
            self.saved_by_cache += book.batch.saved_by_cache(usage)
        return book.batch.price(usage)

    def _book(self, model: str) -> PriceBook | None:
        if model not in self._books:
            self._books[model] = price_book(self._vendor, model, self._day)
        return self._books[model]

    @property
    def source(self) -> str | None:
        """Where the prices come from, and whether they hold a batch discount at all."""
        books = [book for book in self._books.values() if book]
        if not books:
            return None
        return books[0].source + ("" if all(book.discounted for book in books) else " (discount: unknown)")

    @property
    def unpriced(self) -> list[str]:
        """Models that have no known price."""
        return sorted(model for model, book in self._books.items() if book is None)
