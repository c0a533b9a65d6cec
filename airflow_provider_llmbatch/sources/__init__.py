"""Where records come from. Every source is a stream that is read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from airflow_provider_llmbatch.core.records import Rows, in_blocks
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources.sql import SqlSource

__all__ = ["Source", "SqlSource", "blocks_of", "open_source", "sealed"]


@runtime_checkable
class Source(Protocol):
    """A stream of rows, and what makes it the same stream again."""

    def identity(self) -> dict[str, Any]:
        """Return what the job's fingerprint takes of it: small, JSON, no record text.

        :raises SourceError: It is not there.
        """
        ...

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield pairs of *where* (for messages) and the row.

        :raises SourceError: It is missing, or something in it is not a row.
        """
        ...


def blocks_of(source: Source) -> Iterator[Rows]:
    """Yield the rows of *source*, many at once; a source may have a quicker way to do that than row by row."""
    blocks = getattr(source, "blocks", None)
    return blocks() if blocks else in_blocks(source.rows())


def open_source(value: object) -> Source:
    """Return the source that *value* is or names.

    :raises SourceError: It is none.
    """
    from airflow_provider_llmbatch.sources.files import FileSource

    value = FileSource(value) if isinstance(value, str) else sealed(value)
    if isinstance(value, Source):
        return value
    raise SourceError(
        f"source is a {type(value).__name__}; it must be the URI of a .jsonl, .jsonl.gz, .csv or .parquet file, of a "
        "folder or a pattern, a SqlSource, a list of strings or mappings, or a table that speaks Arrow, such as a data "
        "frame. Nothing was sent."
    )


def sealed(value: Any) -> Any:
    """Put records that are in memory behind a name; anything else stays as it is.

    Airflow renders, shows and serializes the fields of a task. A record is data: nothing of that may happen to it.
    """
    from airflow_provider_llmbatch.sources.inline import InlineSource
    from airflow_provider_llmbatch.sources.tables import ArrowSource, is_arrow

    if is_arrow(value):
        return ArrowSource(value)
    if isinstance(value, Sequence) and not isinstance(value, str | SqlSource):
        return InlineSource(value)
    return value
