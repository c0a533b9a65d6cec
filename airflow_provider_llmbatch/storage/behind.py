"""A file that is written by a thread, while what comes next is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

BLOCK = 1 << 20
"""Bytes that are written at once."""
PIECES = 64
"""Pieces of a block that are not put together before; they need no memory of their own then."""
MOST = 4
"""Blocks that wait at most."""
SYNCED = 8 << 20
"""Bytes that are written between two syncs; whoever syncs at the end alone waits for all of the file then."""


@contextmanager
def written_behind(path: Path, *, syncs: bool) -> Iterator[Behind]:
    """Open *path* for writing. All of it is in the file when the block ends well.

    :param syncs: Whether it is made durable afterwards, which is begun here.
    :raises OSError: It cannot be written; said by a later write, or at the end.
    """
    with path.open("wb") as file:
        behind = Behind(file, syncs=syncs)
        try:
            yield behind
            behind.flush()
        finally:
            behind.stop()
        behind.check()


class Behind:
    """Takes bytes for *file*.

    The threads talk by queues in C. With locks and futures, each would wait for the other's turn at the interpreter
    several times for each block, which took as long as the writing.
    """

    def __init__(self, file: BinaryIO, *, syncs: bool) -> None:
        self._file = file
        self._syncs = syncs
        self._unsynced = 0
        self._pieces: list[bytes | memoryview] = []
        self._size = 0
        self._error: Exception | None = None
        self._blocks: SimpleQueue[list[bytes | memoryview] | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(MOST):
            self._room.put(None)
        self._thread = Thread(target=self._write_all, name="llmbatch-write", daemon=True)
        self._thread.start()

    def write(self, data: bytes | memoryview) -> None:
        """Write *data* after what came before it.

        :raises OSError: That cannot be written.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Let the thread have what is there."""
        self._room.get()
        self.check()
        self._blocks.put(self._pieces if len(self._pieces) <= PIECES else [b"".join(self._pieces)])
        self._pieces, self._size = [], 0

    def stop(self) -> None:
        """Wait until everything is written that the thread has."""
        self._blocks.put(None)
        self._thread.join()

    def check(self) -> None:
        """Raise what became of the writing."""
        if self._error:
            raise self._error

    def _write_all(self) -> None:
        for block in iter(self._blocks.get, None):
            try:
                if self._error is None:
                    self._write(block)
            except Exception as error:  # it is raised in the other thread
                self._error = error
            self._room.put(None)

    def _write(self, pieces: list[bytes | memoryview]) -> None:
        size, file = sum(map(len, pieces)), self._file.fileno()
        written = os.writev(file, pieces)
        if written < size:
            rest = memoryview(b"".join(pieces))[written:]
            while rest:
                rest = rest[os.write(file, rest) :]
        self._unsynced += size
        if self._syncs and self._unsynced >= SYNCED:
            os.fdatasync(file)
            self._unsynced = 0
