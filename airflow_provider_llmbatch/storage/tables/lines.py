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
from airflow_provider_llmbatch.core.records import end_with_text
from airflow_provider_llmbatch.storage.behind import Behind, written_behind

Write = Callable[[Sequence[bytes], Sequence[bytes]], object]
"""Takes rows: their records as lines of JSON, and the columns that follow each one's own as others, with newlines."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_BUFFER = 1 << 20
_PLAIN = (str, int, float, type(None))
"""What stands in a CSV as it is; most values are, and a call for each of them is most of the time."""


class JsonLines:
    """Writes rows to *file* as lines of JSON.

    :ivar text: Takes rows that are such lines already.
    """

    def __init__(self, file: Behind | gzip.GzipFile) -> None:
        self.text: Callable[[bytes], object] = file.write

    def __call__(self, owns: Sequence[bytes], ours: Sequence[bytes]) -> None:
        pairs = zip(owns, ours, strict=True)
        if end_with_text(owns):
            self.text(b"".join([b"%b,%b" % (own[:-2], our[1:]) for own, our in pairs]))
        else:
            self.text(b"".join([joined(own, our) for own, our in pairs]))


@contextmanager
def jsonl(path: Path, *, syncs: bool) -> Iterator[Write]:
    """Write rows as lines of JSON.

    :param syncs: As for :func:`~airflow_provider_llmbatch.storage.behind.written_behind`.
    """
    with written_behind(path, syncs=syncs) as file:
        yield JsonLines(file)


@contextmanager
def jsonl_gz(path: Path) -> Iterator[Write]:
    """Write rows as compressed lines of JSON; without a name and a time inside, so that the same rows are the same."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
        yield JsonLines(file)


def joined(own: bytes, ours: bytes) -> bytes:
    """Return two JSON objects as one line. The record's columns stay byte for byte what they are."""
    start = own.rstrip()[:-1].rstrip()
    return b"%b%b%b" % (start, b"" if start == b"{" else b",", ours[1:])


def row_of(own: bytes, ours: bytes) -> dict[str, Any]:
    """Return the whole row."""
    return _decode(own) | _decode(ours)


@contextmanager
def csv_table(path: Path, names: Sequence[str]) -> Iterator[Write]:
    """Write rows under the header *names*."""
    with path.open("w", encoding="utf-8", newline="", buffering=_BUFFER) as text:
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(names)

        def write(owns: Sequence[bytes], ours: Sequence[bytes]) -> None:
            for row in map(row_of, owns, ours):
                table.writerow([value if type(value := row.get(name)) in _PLAIN else cell(value) for name in names])

        yield write
