"""What answers cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

from airflow_provider_llmbatch.core.cost import PriceBook
from airflow_provider_llmbatch.core.results import NO_USAGE, Result, Usage, total_usage
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine.job import Job

NOTHING = Decimal(0)
_input = attrgetter("input")


class Receipt:
    """What the answers of one batch took.

    :ivar usage: All their tokens.
    :ivar cost: US dollars, or ``None`` if the price of one is not known.
    """

    RUN = 1000

    def __init__(self) -> None:
        self.usage = NO_USAGE
        self.cost: Decimal | None = NOTHING
        self._usages: list[Usage] = []
        self._costs: list[Decimal | None] = []

    def add(self, usage: Usage, costs: Sequence[Decimal | None]) -> None:
        """Take in some answers.

        :param usage: What all of them took.
        """
        self.usage += usage
        known = [cost for cost in costs if cost is not None]
        self.cost = None if self.cost is None or len(known) < len(costs) else sum(known, self.cost)

    def note(self, usage: Usage, cost: Decimal | None) -> None:
        """Take in one answer; it is added with others, when there are some."""
        self._usages.append(usage)
        self._costs.append(cost)
        if len(self._costs) >= self.RUN:
            self.close()

    def close(self) -> None:
        """Add what was noted."""
        if self._costs:
            self.add(total_usage(self._usages), self._costs)
            self._usages, self._costs = [], []


class Till:
    """Prices answers as the vendor bills them: one by one, since tiers depend on a single request.

    :ivar receipts: What was taken singly, by the batch that answered.
    """

    def __init__(self, job: Job) -> None:
        self._prices = job.prices
        self._asked = job.spec.model
        self._books: dict[str, PriceBook | None] = {}
        self.receipts: defaultdict[str | None, Receipt] = defaultdict(Receipt)
        self.standard: Decimal | None = NOTHING
        self.saved_by_cache = NOTHING

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the price list, which reads the job's folder: what was found in it is here."""
        return {name: value for name, value in vars(self).items() if name != "_prices"}

    def take(self, answers: Sequence[Answer]) -> Decimal | None:
        """Return what all *answers* to one record cost, or ``None`` if one of them has no known price."""
        cost: Decimal | None = NOTHING
        for answer in answers:
            price = self.price(answer.result)
            self.receipts[answer.batch_id].note(answer.result.usage, price)
            cost = None if cost is None or price is None else cost + price
        return cost

    def take_all(self, results: Sequence[Result], usages: Sequence[Usage], total: Usage) -> Sequence[Decimal | None]:
        """Return what each of many answers cost; it is quick where one model gave them and no tier is reached.

        :param usages: Of each answer.
        :param total: Of all of them.
        """
        if not total.input and not total.output:
            return [NOTHING] * len(results)
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
        self._prices.learn(other._books)
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
            self._books[model] = self._prices.book(model)
        return self._books[model]

    @property
    def source(self) -> str | None:
        """Where the prices come from."""
        return ", ".join(sorted({book.source for book in self._books.values() if book})) or None

    @property
    def unpriced(self) -> list[str]:
        """Models that have no known price."""
        return sorted(model for model, book in self._books.items() if book is None)

    @property
    def undiscounted(self) -> list[str]:
        """Models whose batch price is the standard one, as far as their prices tell."""
        return sorted(model for model, book in self._books.items() if book and not book.discounted)
