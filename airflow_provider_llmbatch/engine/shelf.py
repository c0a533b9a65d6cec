"""Lines that come in one order and are wanted in another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path

BUFFER = 1 << 20
MOST = 48 << 20
"""Bytes of lines that are in memory at once."""
RUN = 500
"""Lines that are written at once."""


class Shelf:
    """Puts lines into order in memory, and keeps them in files on the worker's own disk.

    What does not fit in memory at once becomes several files, each with a line for each position, mostly empty ones.

    :param path: What the names of the files begin with.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._lines = [b""] * count
        self._size = 0
        self._files: list[Path] = []

    def put(self, positions: Iterable[int], lines: Iterable[bytes]) -> None:
        """Take some lines in; a second one for a position counts instead of the first."""
        size, all_lines = self._size, self._lines
        for position, line in zip(positions, lines, strict=True):
            all_lines[position] = line
            size += len(line)
        self._size = size
        if size > MOST:
            self._spill()

    def _spill(self) -> None:
        path = self._path.with_suffix(f".{len(self._files)}")
        with path.open("wb", buffering=BUFFER) as file:
            for start in range(0, len(self._lines), RUN):
                file.write(b"\n".join(self._lines[start : start + RUN]) + b"\n")
        self._files.append(path)
        self._lines, self._size = [b""] * len(self._lines), 0

    def close(self) -> None:
        """Take no more lines in, and leave the memory to others."""
        self._spill()
        self._lines = []

    def lines(self) -> Iterator[bytes]:
        """Return the lines in the order of the positions, each with its end, and an empty one where none came."""
        return reduce(_over, map(_lines, self._files))

    def clear(self) -> None:
        """Give the disk back."""
        for path in self._files:
            path.unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=BUFFER) as file:
        yield from file


def _over(earlier: Iterator[bytes], later: Iterator[bytes]) -> Iterator[bytes]:
    """Lay the lines of a later file over those of an earlier one."""
    return (old if new == b"\n" else new for old, new in zip(earlier, later, strict=True))
