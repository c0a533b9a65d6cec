"""What the next task reads: the same rows as JSONL or CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch.core.rows import COLUMNS, THINKING
from airflow_provider_llmbatch.exceptions import OutputError

Format = Literal["jsonl", "csv"]
_SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


def format_of(uri: str) -> Format:
    """Return the format that the suffix of *uri* asks for.

    :raises OutputError: The suffix is none of those we write.
    """
    for suffix, found in _SUFFIXES.items():
        if uri.lower().endswith(suffix):
            return found
    raise OutputError(
        f"output_uri {uri!r}: its suffix decides the format and must be one of {', '.join(_SUFFIXES)}. "
        "Nothing was sent.",
        output_uri=uri,
    )


def header(columns: Iterable[str], thinks: bool = False) -> list[str]:
    """Return the header: the record's columns in the order they were first seen, then ours.

    :param thinks: Whether any answer shows the model's reasoning.
    """
    return [*columns, *COLUMNS, *([THINKING] if thinks else [])]


def cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with everything that a CSV cannot hold written as JSON."""
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    return msgspec.json.encode(value).decode()
