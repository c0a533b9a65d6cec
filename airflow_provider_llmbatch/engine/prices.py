"""The prices of a job: those of the day on which it was begun, and for ever."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property

from airflow_provider_llmbatch._compat import ObjectStoragePath, conf
from airflow_provider_llmbatch.core.cost import PriceBook
from airflow_provider_llmbatch.core.prices import OwnPrice, book_for, read_prices
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.storage.layout import JobFolder


class PriceList:
    """What a job's models cost.

    A price that was found once is kept in the job's folder: neither another file of prices nor another release of the
    price list changes what an old job cost. A price that nobody knew is looked for again.
    """

    def __init__(self, folder: JobFolder, vendor: str, begun_at: float) -> None:
        self._folder = folder
        self._vendor = vendor
        self._day = datetime.fromtimestamp(begun_at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._books: dict[str, PriceBook | None] = {}

    @cached_property
    def _kept(self) -> dict[str, PriceBook]:
        return self._folder.prices()

    @cached_property
    def _own(self) -> list[OwnPrice]:
        return own_prices()

    def book(self, model: str) -> PriceBook | None:
        """Return the rates of *model*, or ``None`` where no price is known.

        :raises InputError: The file of one's own prices cannot be read.
        """
        if model not in self._books:
            kept = self._kept.get(model)
            self._books[model] = kept or book_for(self._own, self._vendor, model, self._day, own_uri())
        return self._books[model]

    def learn(self, books: Mapping[str, PriceBook | None]) -> None:
        """Take over what another process found."""
        self._books = {**books, **self._books}

    def keep(self) -> None:
        """Write down what was found and is not kept yet."""
        found = {model: book for model, book in self._books.items() if book and model not in self._kept}
        if found:
            self._folder.keep_prices(found)
            self._kept.update(found)


def own_uri() -> str:
    """Return where one's own prices are; ``""``: there are none."""
    return str(conf.get("llmbatch", "prices", fallback="") or "")


def own_prices() -> list[OwnPrice]:
    """Read one's own prices.

    :raises InputError: They cannot be read.
    """
    uri = own_uri()
    if not uri:
        return []
    try:
        return read_prices(ObjectStoragePath(uri).read_bytes(), as_json=uri.endswith(".json"))
    except Exception as error:  # each storage has errors of its own
        raise InputError(
            f"the prices in {uri!r}, which [llmbatch] prices names, cannot be read ({type(error).__name__}: {error}). "
            "Nothing is sent and nothing is lost. Mend the file or the option, then clear this task.",
            uri=uri,
        ) from None
