"""The answers that one job paid for: a file of them, and its index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from typing import TypeVar

from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.folder import Folder
from airflow_provider_llmbatch.storage.index import Head, Index, Numbers, Run, Stretch, head_in

T = TypeVar("T")

GAP = 1 << 16
"""Bytes between two answers that are read along with them: another call takes longer."""
MOST = 32 << 20
"""Bytes that are read at once, but for a single answer that is larger."""
HEAD_BYTES = 4096
"""No head is longer."""
TIME = "%Y%m%dT%H%M%SZ"
"""How the name of a segment says when its job was begun."""


class LostError(Exception):
    """A segment was deleted while it was being read."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.name)
        self.segment = segment


class Segment:
    """The answers that one job paid for. Every method but :meth:`delete` raises :class:`LostError` if it is gone.

    :raises ManifestError: By every method: it is there and cannot be read.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self.name = name
        self.created_at = begun_at(name)
        self._folder = folder

    @property
    def _index_name(self) -> str:
        return f"{self.name}.index"

    @cached_property
    def _index(self) -> Index:
        with self._told():
            return Index(self._folder.local(self._index_name))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise LostError(self) from None
        except (OSError, ValueError) as error:
            raise self.unreadable(f"{type(error).__name__}: {error}") from error

    def fetch(self) -> Segment:
        """Bring the index to this machine."""
        self._index  # noqa: B018 - it is read now
        return self

    @property
    def head(self) -> Head:
        """What its index says first."""
        return self._index.head

    def read_head(self) -> Head | None:
        """Return the head without the rest of the index, or ``None`` if the segment is gone."""
        found = self._folder.read_ranges(self._index_name, [(0, HEAD_BYTES)])
        with self._told():
            return None if found is None else head_in(found[0].partition(b"\n")[0])

    def numbers(self, base: int = 0) -> Numbers:
        """Return the numbers of all its answers.

        :param base: Is added to each number.
        """
        with self._told():
            return self._index.numbers(base)

    def find(self, digests: Set[bytes], base: int = 0) -> Numbers:
        """Return the numbers of the answers to *digests*; those that are not here are left out.

        :param base: Is added to each number.
        """
        with self._told():
            return self._index.find(digests, base)

    def located(self, stretches: Iterable[Stretch]) -> list[Run]:
        """Return where the answers of each stretch lie, and what they cost."""
        with self._told():
            return list(self._index.located(stretches))

    def read(self, runs: Iterable[Run]) -> Iterator[tuple[Run, bytes, int]]:
        """Yield each run with some bytes, and the place in these where its lines begin.

        Runs that are near to each other are read in one go.
        """
        for spans in portions(_spans(sorted(runs, key=attrgetter("start", "end"))), lambda span: span[1] - span[0]):
            parts = self._folder.read_ranges(f"{self.name}.jsonl", [(start, end) for start, end, _ in spans])
            if parts is None:
                raise LostError(self)
            for (start, _, several), part in zip(spans, parts, strict=True):
                yield from ((run, part, run.start - start) for run in several)

    def delete(self) -> None:
        """Delete it; the index goes first, so that nobody finds what is no longer there."""
        for name in (self._index_name, f"{self.name}.jsonl"):
            self._folder.remove(name)

    def unreadable(self, why: str) -> ManifestError:
        """Return the error that says so."""
        uri = self._folder.uri_of(self._index_name)
        return ManifestError(
            f"{uri!r}: the kept answers cannot be read ({why}). Nothing was sent. Restore the segment, or delete its "
            "two files: what they held is then asked, and paid, anew.",
            uri=uri,
        )


def begun_at(name: str) -> float:
    """Return when the job was begun whose segment has that name; epoch seconds."""
    return datetime.strptime(name.partition("-")[0], TIME).replace(tzinfo=UTC).timestamp()


Span = tuple[int, int, list[Run]]
"""First byte, the byte behind the last, and the runs between them."""


def _spans(runs: Iterable[Run]) -> Iterator[Span]:
    """Put those together that lie so near to each other that one read brings them."""
    several: list[Run] = []
    first = end = 0
    for run in runs:
        if several and (run.start - end > GAP or run.end - first > MOST):
            yield first, end, several
            several = []
        if not several:
            first = end = run.start
        several.append(run)
        end = max(end, run.end)
    if several:
        yield first, end, several


def portions(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Put as many together as are read at once."""
    portion: list[T] = []
    total = 0
    for item in items:
        if portion and total + size(item) > MOST:
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += size(item)
    if portion:
        yield portion
