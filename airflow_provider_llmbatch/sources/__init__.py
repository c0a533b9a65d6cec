"""Where records come from. Every source is a stream that is read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_llmbatch.exceptions import SourceError


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


def open_source(value: object) -> Source:
    """Return the source that *value* names: the URI of a file, or a list of strings or mappings.

    :raises SourceError: It is none of those.
    """
    from airflow_provider_llmbatch.sources.files import FileSource
    from airflow_provider_llmbatch.sources.inline import InlineSource

    if isinstance(value, InlineSource):
        return value
    if isinstance(value, str):
        return FileSource(value)
    if isinstance(value, Sequence):
        return InlineSource(value)
    raise SourceError(
        f"source is a {type(value).__name__}; it must be the URI of a .jsonl, .jsonl.gz or .csv file, or a list of "
        "strings or mappings. Nothing was sent."
    )
