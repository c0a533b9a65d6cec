"""Answers that were just read, kept in their order until the rows are written.

They lie on the worker's own disk, and only to save time: whoever does not find them reads the results again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from airflow_provider_llmbatch.core.records import BLOCK_BYTES
from airflow_provider_llmbatch.core.results import Result

MOST = 64 << 20
"""Bytes of one shard's answers, which are in memory while they are put in order. Larger ones are not kept."""

_encode = msgspec.json.Encoder().encode
_decode_lines = msgspec.json.Decoder(Result).decode_lines


class Kept:
    """The answers to whole shards, by the shard's name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="llmbatch-")

    def put(self, name: str, lines: list[bytes]) -> None:
        """Keep a shard's answers, each a line of JSON, in the order of its requests."""
        self._path(name).write_bytes(b"\n".join(lines))
        self._names.add(name)

    def runs(self, name: str) -> Iterator[list[Result]] | None:
        """Return a shard's answers in the same order, some at a time, or ``None`` if they are not kept."""
        return self._read(self._path(name)) if name in self._names else None

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _read(self, path: Path) -> Iterator[list[Result]]:
        with path.open("rb") as file:
            while lines := file.readlines(BLOCK_BYTES):
                yield _decode_lines(b"".join(lines))


class Shelf:
    """One shard's answers, while they come in any order.

    They wait as bytes: objects, read again in another order than they were made, take longer than to write and read.

    :param count: How many there will be.
    :param absent: What counts where none comes.
    """

    def __init__(self, count: int, absent: Result) -> None:
        self._lines = [_encode(absent)] * count
        self._size = 0

    def put(self, position: int, result: Result) -> None:
        """Take one in, or put a better one in its place."""
        if self._size <= MOST:
            self._lines[position] = line = _encode(result)
            self._size += len(line)

    def close(self, kept: Kept, name: str) -> None:
        """Keep them, unless they were too large."""
        if self._size <= MOST:
            kept.put(name, self._lines)
