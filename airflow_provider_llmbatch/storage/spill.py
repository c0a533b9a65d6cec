"""Many small items in an order of their own, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory


class Spill:
    """Items of one width, sorted into parts on the worker's own disk."""

    BUFFER = 1 << 16

    def __init__(self, width: int) -> None:
        self._width = width
        self._folder = TemporaryDirectory(prefix="llmbatch-")
        self._buffers: dict[int, bytearray] = {}

    def put(self, part: int, item: bytes) -> None:
        """Add *item* to *part*."""
        buffer = self._buffers.setdefault(part, bytearray())
        buffer += item
        if len(buffer) >= self.BUFFER:
            with self._path(part).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def parts(self) -> Iterator[list[bytes]]:
        """Yield the items of each part, in the order of the parts."""
        for part, buffer in sorted(self._buffers.items()):
            path = self._path(part)
            data = (path.read_bytes() if path.exists() else b"") + buffer
            yield [data[start : start + self._width] for start in range(0, len(data), self._width)]

    def _path(self, part: int) -> Path:
        return Path(self._folder.name) / str(part)
