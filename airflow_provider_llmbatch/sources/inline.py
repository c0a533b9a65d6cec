"""Records given in the DAG itself, or handed over by an upstream task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources.values import plain_row


class InlineSource:
    """A list of strings (each becomes the record ``{"prompt": text}``) or of mappings.

    Its ``str()`` shows only how many there are: Airflow writes that, not the text, to its rendered-template view.
    """

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __repr__(self) -> str:
        return f"<{len(self._items):,} inline records>"

    def identity(self) -> dict[str, Any]:
        """Return the number of records and a digest of them.

        :raises SourceError: One of them holds what JSON cannot.
        """
        try:
            items = [dict(item) if isinstance(item, Mapping) else item for item in self._items]
            digest = sha256(msgspec.json.encode(items, order="sorted")).hexdigest()
        except (TypeError, UnicodeEncodeError) as error:
            reason = "text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
            raise SourceError(f"source: its records must be JSON ({reason}). Nothing was sent.") from None
        return {"kind": "inline", "records": len(self._items), "sha256": digest}

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the items in order."""
        for index, item in enumerate(self._items):
            yield f"source[{index}]", as_row(item, f"source[{index}]")


def as_row(item: object, where: str) -> Mapping[str, Any]:
    """Return the row that a string or mapping stands for.

    :raises SourceError: It is neither.
    """
    if isinstance(item, str):
        return {"prompt": item}
    if isinstance(item, Mapping):
        return plain_row(item, where)
    raise SourceError(
        f"{where} is a {type(item).__name__}; a record is a string or a mapping. Nothing was sent.", where=where
    )
