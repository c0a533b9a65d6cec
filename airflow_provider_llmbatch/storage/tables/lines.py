"""Rows as text: JSON lines, plain or compressed, and CSV."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from airflow_provider_llmbatch.core.outputs import cell
from airflow_provider_llmbatch.storage.behind import written_behind

Write = Callable[[bytes, bytes], object]
"""Takes a row: the record as a line of JSON, and the columns that follow its own as another."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_BUFFER = 1 << 20
_PLAIN = (str, int, float, type(None))
"""What stands in a CSV as it is; most values are, and a call for each of them is most of the time."""


def json_lines(file: IO[bytes] | gzip.GzipFile) -> Write:
    """Return what writes rows to *file* as lines of JSON."""
    write = file.write

    def add(own: bytes, ours: bytes) -> None:
        if own.endswith(b'"}\n') and ours.endswith(b"\n"):  # as most do: this is quick
            write(b"%b,%b" % (own[:-2], ours[1:]))
        else:
            write(joined(own, ours))

    return add


@contextmanager
def jsonl(path: Path) -> Iterator[Write]:
    """Write rows as lines of JSON."""
    with written_behind(path) as file:
        yield json_lines(file)


@contextmanager
def jsonl_gz(path: Path) -> Iterator[Write]:
    """Write rows as compressed lines of JSON; without a name and a time inside, so that the same rows are the same."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
        yield json_lines(file)


def joined(own: bytes, ours: bytes) -> bytes:
    """Return two JSON objects as one line. The record's columns stay byte for byte what they are."""
    start = own.rstrip()[:-1].rstrip()
    return b"%b%b%b\n" % (start, b"" if start == b"{" else b",", ours[1:].rstrip(b"\n"))


def row_of(own: bytes, ours: bytes) -> dict[str, Any]:
    """Return the whole row."""
    return _decode(own) | _decode(ours)


@contextmanager
def csv_table(path: Path, names: Sequence[str]) -> Iterator[Write]:
    """Write rows under the header *names*."""
    with path.open("w", encoding="utf-8", newline="", buffering=_BUFFER) as text:
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(names)

        def write(own: bytes, ours: bytes) -> None:
            row = row_of(own, ours)
            table.writerow([value if type(value := row.get(name)) in _PLAIN else cell(value) for name in names])

        yield write
