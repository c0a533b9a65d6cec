"""A file that is written by a thread, while what comes next is made."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

BLOCK = 1 << 20
"""Bytes that are written at once."""
MOST = 4
"""Blocks that wait at most."""


@contextmanager
def written_behind(path: Path) -> Iterator[IO[bytes]]:
    """Open *path* for writing. All of it is in the file when the block ends well.

    :raises OSError: It cannot be written; said by a later write, or at the end.
    """
    with path.open("wb") as file, ThreadPoolExecutor(1, thread_name_prefix="llmbatch-write") as thread:
        behind = _Behind(file, thread)
        with io.BufferedWriter(behind, BLOCK) as buffer:
            yield buffer
        behind.wait(0)


class _Behind(io.RawIOBase):
    def __init__(self, file: IO[bytes], thread: ThreadPoolExecutor) -> None:
        self._file = file
        self._thread = thread
        self._waiting: deque[Future[int]] = deque()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.wait(MOST - 1)
        self._waiting.append(self._thread.submit(self._file.write, bytes(data)))
        return len(memoryview(data))

    def wait(self, left: int) -> None:
        """Wait until no more than *left* blocks wait."""
        while len(self._waiting) > left:
            self._waiting.popleft().result()
