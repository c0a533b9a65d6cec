"""What the next task reads: the same rows in a file, in a folder of parts, or in a table of a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch.core.rows import COLUMNS, THINKING
from airflow_provider_llmbatch.exceptions import OutputError

Format = Literal["jsonl", "jsonl.gz", "csv", "parquet"]
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".csv": "csv",
    ".parquet": "parquet",
}
_DATABASE = "sql://"
_MAX_NAMES = 3  # database, schema, table


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows go.

    :ivar format: ``None`` for a table of a database.
    :ivar is_folder: A folder of parts; else one file.
    :ivar conn_id: Of a table: the Airflow connection.
    :ivar names: Of a table: its name, with its schema (and database) before it.
    """

    uri: str
    format: Format | None = None
    is_folder: bool = False
    conn_id: str = ""
    names: tuple[str, ...] = ()


def target_of(uri: str) -> Target:
    """Read an ``output_uri``.

    The suffix decides the format; a ``/`` at the end asks for a folder; ``sql://conn_id/schema.table`` is a table.

    :raises OutputError: The suffix is none of those we write, or the table has no name.
    """
    if uri.lower().startswith(_DATABASE):
        return _table(uri)
    folder, is_folder = uri.rstrip("/"), uri.endswith("/")
    for suffix, found in _SUFFIXES.items():
        if folder.lower().endswith(suffix):
            return Target(uri=uri, format=found, is_folder=is_folder)
    if is_folder and _has_name(folder):
        return Target(uri=uri, format="jsonl", is_folder=True)
    raise OutputError(
        f"output_uri {uri!r}: its suffix decides the format and must be one of {', '.join(_SUFFIXES)}; a folder of "
        "parts ends with '/', and a table is sql://conn_id/table. Nothing was sent.",
        output_uri=uri,
    )


def _has_name(folder: str) -> bool:
    """Return whether *folder* is more than a bucket: nobody's output is all there is in a bucket."""
    scheme, _, path = folder.rpartition("://")
    return "/" in path if scheme else bool(path)


def _table(uri: str) -> Target:
    conn_id, _, path = uri[len(_DATABASE) :].partition("/")
    names = tuple(path.split("."))
    if not conn_id or not all(names) or len(names) > _MAX_NAMES or "/" in path:
        raise OutputError(
            f"output_uri {uri!r}: a table is sql://conn_id/table or sql://conn_id/schema.table. Nothing was sent.",
            output_uri=uri,
        )
    return Target(uri=uri, conn_id=conn_id, names=names)


def header(columns: Iterable[str], thinks: bool = False) -> list[str]:
    """Return the header: the record's columns in the order they were first seen, then ours.

    :param thinks: Whether any answer shows the model's reasoning.
    """
    return [*columns, *COLUMNS, *([THINKING] if thinks else [])]


def cell(value: Any) -> Any:
    """Return *value* as a CSV holds it: what is no text and no number stands there as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return value
    return msgspec.json.encode(value).decode()
