"""Rows as text: JSON lines, plain or compressed, and CSV."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.outputs import cell

Write = Callable[[dict[str, Any]], object]
_encode = msgspec.json.Encoder().encode
_BUFFER = 1 << 20
_PLAIN = (str, int, float, type(None))
"""What stands in a CSV as it is; most values are, and a call for each of them is most of the time."""


@contextmanager
def jsonl(path: Path) -> Iterator[Write]:
    """Write rows as lines of JSON."""
    with path.open("wb", buffering=_BUFFER) as file:
        yield lambda row: file.write(_encode(row) + b"\n")


@contextmanager
def jsonl_gz(path: Path) -> Iterator[Write]:
    """Write rows as compressed lines of JSON; without a name and a time inside, so that the same rows are the same."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
        yield lambda row: file.write(_encode(row) + b"\n")


@contextmanager
def csv_table(path: Path, names: Sequence[str]) -> Iterator[Write]:
    """Write rows under the header *names*."""
    with path.open("w", encoding="utf-8", newline="", buffering=_BUFFER) as text:
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(names)
        yield lambda row: table.writerow(
            [value if type(value := row.get(name)) in _PLAIN else cell(value) for name in names]
        )
