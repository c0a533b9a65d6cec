"""Work done beside this process, on other cores.

Children are forked; each takes one piece of work after another from a pipe, does it with what it inherited, and leaves
the result in a file. Any other way to use a second core would import Airflow again, which takes longer than the work.
Forking is safe where nothing else runs in this process, so it is done only there; everywhere else, and whenever a child
comes to harm, the same work is done here. Nothing but time depends on it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import IO, Generic, NoReturn, TypeVar

from airflow_provider_llmbatch._compat import conf

Asked = TypeVar("Asked")
Made = TypeVar("Made")

MOST = 2
"""Children at once, at most, unless the option says otherwise: two take some 180 MB."""
SIZE = 4
"""Bytes that say how long a message is; a message is shorter than a pipe's own memory."""
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


def helpers() -> int:
    """Return how many children may work beside this process: none where there is but one core, or another thread.

    ``[llmbatch] reading_processes`` bounds them.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return 0
    cores = len(os.sched_getaffinity(0))
    return min(cores, max(conf.getint("llmbatch", "reading_processes", fallback=MOST), 0)) if cores > 1 else 0


class Crew(Generic[Asked, Made]):
    """Some children that do one kind of work. Leave it as a context: that ends them.

    :param work: What it takes and returns can be pickled; done twice, it does the same.
    :param folder: Where children leave what they made.
    :ivar size: How many there are at most.
    """

    def __init__(self, work: Callable[[Asked], Made], folder: Path, *, size: int) -> None:
        self._work = work
        self._folder = folder
        self.size = size
        self._children: list[_Child] = []
        self._numbers = count()

    def __enter__(self) -> Crew[Asked, Made]:
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:
            child.end()

    @property
    def begun(self) -> int:
        """How many there are."""
        return len(self._children)

    def begin(self, asked: Asked) -> Callable[[], Made]:
        """Begin some work; return a function that waits for it and returns what was made."""
        number = next(self._numbers)
        target = self._folder / f"made-{number}"
        try:
            child = self._child(number % self.size)
            child.ask(pickle.dumps((asked, target)))
        except OSError:  # no memory or no process left, or the child came to harm
            return lambda: self._work(asked)

        def made() -> Made:
            if not child.is_done():
                return self._work(asked)
            found: Made = pickle.loads(target.read_bytes())  # noqa: S301 - it is our own child's
            target.unlink()
            return found

        return made

    def _child(self, number: int) -> _Child:
        if number == len(self._children):
            self._children.append(_Child(self._work))
        return self._children[number]


class _Child:
    """One child, and the pipes to and from it. It does what it is asked in that order, and says so after each."""

    def __init__(self, work: Callable[..., object]) -> None:
        asks, self._asks = _pipe()
        self._hears, tells = _pipe()
        with asks, tells:
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self._id = os.fork()
                if self._id == 0:
                    _live(work, asks, tells, mask)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def ask(self, document: bytes) -> None:
        """Send some work.

        :raises OSError: The child is not there to take it.
        """
        self._asks.write(len(document).to_bytes(SIZE, "big") + document)

    def is_done(self) -> bool:
        """Wait until the oldest work that was not waited for is done; return whether it went well."""
        return self._hears.read(1) == b"+"

    def end(self) -> None:
        """End the child, whatever it does."""
        self._asks.close()
        self._hears.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._id, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # somebody else waits for all children
            os.waitpid(self._id, 0)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reads, writes = os.pipe()
    return os.fdopen(reads, "rb"), os.fdopen(writes, "wb", buffering=0)


def _live(work: Callable[..., object], asks: IO[bytes], tells: IO[bytes], mask: Iterable[int]) -> NoReturn:
    """Do what is asked, and nothing that the parent would do: not its signals, its connections, its farewells."""
    try:
        for handled in HANDLED:
            signal.signal(handled, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _keep_only(asks.fileno(), tells.fileno())
        gc.disable()
        while size := int.from_bytes(asks.read(SIZE), "big"):
            asked, target = pickle.loads(asks.read(size))  # noqa: S301 - it is our own parent's
            try:
                target.write_bytes(pickle.dumps(work(asked)))
            except Exception:
                tells.write(b"-")
            else:
                tells.write(b"+")
    finally:
        os._exit(0)


def _keep_only(*files: int) -> None:
    """Close every file that was inherited but these; what is said goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in files:
            with contextlib.suppress(OSError):  # that of the listing itself is closed already
                os.close(number)
