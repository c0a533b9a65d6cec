"""The segments of a store, looked up together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, groupby
from typing import NamedTuple

from airflow_provider_llmbatch.core.reuse import LEAST, OURS, are_of, as_ours
from airflow_provider_llmbatch.storage.answers import SIZE, SIZE_BITS, LostError, Places, Run, Segment, portions

HELD = 1 << 18
"""Entries that are held in memory at most, of all indexes together: some 50 MB. Small segments are quick then."""
LONG = 4 << 20
"""Bytes of a run, but for a single answer that is larger."""
READERS = 8
PLACE_BITS = 96
"""Of a place in its segment; before them comes the segment's number."""

Look = Callable[[Sequence[bytes]], Mapping[bytes, int]]
"""Takes digests and returns where their answers lie, and maybe where others do."""


class Found(NamedTuple):
    """Answers to requests that follow each other.

    :ivar first: Position of the first one's digest among those that were looked up.
    :ivar total: How many they are.
    :ivar lines: They, as a store has them, one after the other.
    :ivar new: Those among them that were not found before.
    """

    first: int
    total: int
    lines: bytes
    new: Sequence[bytes]


class Lookup:
    """Finds answers. Where two segments have the same digest, the newer one counts.

    :param segments: The newest first. Their indexes are brought to this machine now, several at once.
    :raises ManifestError: An index cannot be read.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        found = _fetched(segments)
        self._segments = dict(enumerate(found))
        self._held = _held(found)
        self._taken: dict[int, bytearray] = {}
        self._looks: list[Look] = []

    def find(self, digests: Sequence[bytes]) -> Iterator[Found]:
        """Yield the answers to *digests*, in order; those that have none are left out.

        A segment that somebody purges meanwhile has none.

        :raises ManifestError: What lies in a segment is not what its index says.
        """
        done = 0
        while self._segments:
            try:
                for runs in portions(_runs(self._places(digests), done), lambda run: run.end - run.start):
                    lines = self._read(runs)
                    for run in runs:
                        yield self._found(run, lines.pop(run), digests)
                        done = run.first + run.total
            except LostError as lost:
                self._segments = {n: segment for n, segment in self._segments.items() if segment is not lost.segment}
                self._looks = []
            else:
                return

    def _prepared(self) -> list[Look]:
        """Return how to look into the segments, the newest first; those that are held are one."""
        looks: list[Look] = []
        for is_held, numbers in groupby(self._segments, self._held.__contains__):
            if not is_held:
                looks += [partial(self._look_into, number) for number in numbers]
                continue
            places: Places = {}
            for number in reversed(list(numbers)):
                places |= self._segments[number].entries(number << PLACE_BITS)
            looks.append(partial(_all_of, places))
        return looks

    def _look_into(self, number: int, digests: Sequence[bytes]) -> Places:
        return self._segments[number].find(set(digests), number << PLACE_BITS)

    def _places(self, digests: Sequence[bytes]) -> list[int | None]:
        """Return where the answer to each lies, or ``None``."""
        self._looks = self._looks or self._prepared()
        places: list[int | None] = [None] * len(digests)
        for look in self._looks:
            missing = [digest for place, digest in zip(places, digests, strict=True) if place is None]
            if missing:
                found = iter(map(look(missing).get, missing))
                places = [next(found) if place is None else place for place in places]
        return places

    def _read(self, runs: Sequence[Run]) -> dict[Run, bytes]:
        lines: dict[Run, bytes] = {}
        for number in {run.segment for run in runs}:
            lines |= self._segments[number].read(run for run in runs if run.segment == number)
        return lines

    def _found(self, run: Run, whole: bytes, digests: Sequence[bytes]) -> Found:
        segment, lines = self._segments[run.segment], whole.splitlines(keepends=True)
        if len(lines) != run.total or not are_of(lines, digests[run.first : run.first + run.total]):
            raise segment.unreadable("where one should be lies another, or a part of one")
        new = [lines[number] for number in self._new(run, lines)]
        if segment.head.columns != OURS:
            whole, new = b"".join(map(as_ours, lines)), list(map(as_ours, new))
        return Found(run.first, run.total, whole, new)

    def _new(self, run: Run, lines: Sequence[bytes]) -> Sequence[int]:
        """Return which of *lines* were not found before, and note that they are now.

        It takes a byte for every ``LEAST`` bytes of the segment: no two answers begin within the same ones.
        """
        taken = self._taken.setdefault(run.segment, bytearray())
        first, last = run.start // LEAST, (run.end - len(lines[-1])) // LEAST
        taken.extend(bytes(max(0, last + 1 - len(taken))))
        if taken.find(1, first, last + 1) < 0:  # as a rule; what lies between their beginnings is no other's beginning
            taken[first : last + 1] = b"\1" * (last + 1 - first)
            return range(len(lines))
        starts = accumulate(map(len, lines), initial=run.start)
        new = [number for number, start in zip(range(len(lines)), starts, strict=False) if not taken[start // LEAST]]
        taken[first : last + 1] = b"\1" * (last + 1 - first)
        return new


def _all_of(places: Places, digests: Sequence[bytes]) -> Places:
    return places


def _fetched(segments: Sequence[Segment]) -> list[Segment]:
    """Bring the indexes of *segments* to this machine; those that are gone are left out."""

    def there(segment: Segment) -> Segment | None:
        try:
            return segment.fetch()
        except LostError:
            return None

    first, others = map(there, segments[:1]), segments[1:]  # the first one makes room on disk
    with ThreadPoolExecutor(READERS) as several:
        return [segment for segment in [*first, *several.map(there, others)] if segment is not None]


def _held(segments: Sequence[Segment]) -> set[int]:
    """Return the numbers of those whose indexes are held in memory: as many as there is room for."""
    held, room = set(), HELD
    for number, segment in enumerate(segments):
        if segment.head.answers <= room:
            held.add(number)
            room -= segment.head.answers
    return held


def _runs(places: Sequence[int | None], done: int) -> Iterator[Run]:
    """Put answers together that lie one after the other; leave out those to the first *done* digests."""
    count = start = end = 0
    for position, place in enumerate(places[done:], done):
        if place is not None and place >> SIZE_BITS == end and end - start < LONG:
            count += 1
            end += place & SIZE
            continue
        if count:
            yield _run(position - count, count, start, end)
        count = start = end = 0
        if place is not None:
            count, start = 1, place >> SIZE_BITS
            end = start + (place & SIZE)
    if count:
        yield _run(len(places) - count, count, start, end)


def _run(first: int, count: int, start: int, end: int) -> Run:
    bits = PLACE_BITS - SIZE_BITS
    number = start >> bits
    return Run(first, count, number, start - (number << bits), end - (number << bits))
