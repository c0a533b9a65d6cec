"""Answers that were just read, kept in their order until the rows are written.

They lie on the worker's own disk, and only to save time: whoever does not find them reads the results again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from airflow_provider_llmbatch.core.results import Result

MOST = 100 << 20
"""Bytes of results whose answers are held in memory while they are put in order; those of larger files are not kept."""
RUN = 500
"""Answers that are written and read at once."""

_SIZE = 8
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Result]).decode


class Kept:
    """The answers to whole shards, by the shard's name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="llmbatch-")

    def put(self, name: str, answers: Sequence[Result]) -> None:
        """Keep a shard's answers, which are in the order of its requests."""
        with self._path(name).open("wb") as file:
            for start in range(0, len(answers), RUN):
                try:
                    run = _encode(answers[start : start + RUN])
                except (OverflowError, UnicodeEncodeError):  # what JSON can hold and MessagePack cannot
                    return
                file.write(len(run).to_bytes(_SIZE, "big") + run)
        self._names.add(name)

    def runs(self, name: str) -> Iterator[list[Result]] | None:
        """Return a shard's answers in the same order, some at a time, or ``None`` if they are not kept."""
        return self._read(self._path(name)) if name in self._names else None

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _read(self, path: Path) -> Iterator[list[Result]]:
        with path.open("rb") as file:
            while size := file.read(_SIZE):
                yield _decode(file.read(int.from_bytes(size, "big")))
