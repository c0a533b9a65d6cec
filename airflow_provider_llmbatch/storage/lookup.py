"""The segments of a store, looked up together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, compress, groupby, pairwise, repeat
from operator import add, attrgetter, ne
from typing import NamedTuple

from airflow_provider_llmbatch.core.reuse import OURS, as_ours, head_of, thinking
from airflow_provider_llmbatch.storage.index import Numbers, Run, Stretch
from airflow_provider_llmbatch.storage.segment import LostError, Segment, portions

HELD = 1 << 18
"""Entries that are held in memory at most, of all indexes together: some 50 MB. Small segments are quick then."""
READERS = 8
NUMBER_BITS = 32
"""Of a place: the segment's number, then that of the answer."""
NOWHERE = -2
"""The place of what is in no segment: none follows another."""

Look = Callable[[Sequence[bytes]], Mapping[bytes, int]]
"""Takes digests and returns the places of their answers, and maybe those of others."""
Located = tuple[int, Run]
"""A segment's number, and answers in it that follow each other."""


class Found(NamedTuple):
    """Answers to requests that follow each other.

    :ivar first: Position of the first one's digest among those that were looked up.
    :ivar total: How many they are.
    :ivar lines: They, as a store has them, one after the other.
    :ivar thinking: How many of them show the model's reasoning.
    :ivar costs: Of those among them that were not read before.
    """

    first: int
    total: int
    lines: bytes | memoryview
    thinking: int
    costs: Sequence[int]


class Lookup:
    """Finds answers. Where two segments have the same digest, the newer one counts.

    :param segments: The newest first. Their indexes are brought to this machine now, several at once.
    :raises ManifestError: An index cannot be read.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = _fetched(segments)
        self._taken: dict[int, bytearray] = {}
        self._looks: list[Look] | None = None

    def locate(self, digests: Sequence[bytes]) -> list[Located]:
        """Return where the answers to *digests* lie, in order; those that have none are left out.

        :raises LostError: Somebody purged a segment meanwhile.
        """
        if self._looks is None:
            self._looks = list(_looks(self._segments))
        first, *others = self._looks or [partial(_all_of, {})]
        places = list(map(first(digests).get, digests, repeat(NOWHERE)))
        for look in others:
            missing = [digest for place, digest in zip(places, digests, strict=True) if place == NOWHERE]
            found = map(look(missing).get, missing, repeat(NOWHERE))
            places = [next(found) if place == NOWHERE else place for place in places]
        return self._located(places)

    def _located(self, places: Sequence[int]) -> list[Located]:
        located: list[Located] = []
        for number, some in groupby(sorted(_stretches(places)), key=lambda pair: pair[0]):
            located += [(number, run) for run in self._segments[number].located(stretch for _, stretch in some)]
        return sorted(located, key=lambda pair: pair[1].first)

    def read(self, located: Sequence[Located], digests: Sequence[bytes]) -> Iterator[Found]:
        """Yield the answers to *digests* that were located, in order.

        :raises LostError: Somebody purged a segment meanwhile.
        :raises ManifestError: What lies in a segment is not what its index says.
        """
        for several in portions(located, lambda pair: pair[1].end - pair[1].start):
            found = [
                self._found(number, run, part, start, digests)
                for number in {number for number, _ in several}
                for run, part, start in self._segments[number].read(run for other, run in several if other == number)
            ]
            yield from sorted(found, key=attrgetter("first"))

    def _found(self, number: int, run: Run, part: bytes, start: int, digests: Sequence[bytes]) -> Found:
        segment, end = self._segments[number], start + run.end - run.start
        last = part.rfind(b"\n", start, end - 1) + 1 or start
        is_whole = part.endswith(b"}\n", start, end) and part.count(b"\n", start, end) == run.total
        ends = head_of(digests[run.first]), head_of(digests[run.first + run.total - 1])
        if not is_whole or not part.startswith(ends[0], start) or not part.startswith(ends[1], last):
            raise segment.unreadable("where one should be lies another, or a part of one")
        lines: bytes | memoryview = memoryview(part)[start:end]
        if segment.head.columns != OURS:
            lines = b"".join(map(as_ours, bytes(lines).splitlines()))
        thoughtful = thinking(run.total, bytes(lines)) if segment.head.thinking else 0
        return Found(run.first, run.total, lines, thoughtful, self._new(number, run))

    def _new(self, number: int, run: Run) -> Sequence[int]:
        """Return the costs of those answers of *run* that were not read before, and note that they are now."""
        taken = self._taken.setdefault(number, bytearray(self._segments[number].head.answers))
        before = taken[run.number : run.number + run.total]
        taken[run.number : run.number + run.total] = b"\1" * run.total
        if 1 not in before:  # as a rule
            return run.costs
        return [cost for cost, is_old in zip(run.costs, before, strict=True) if not is_old]


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


def _looks(segments: Sequence[Segment]) -> Iterator[Look]:
    """Yield how to look into the segments, the newest first; those that are held are one."""
    held = _held(segments)
    for is_held, several in groupby(enumerate(segments), lambda pair: pair[0] in held):
        if not is_held:
            yield from (partial(_find, segment, number) for number, segment in several)
            continue
        places: Numbers = {}
        for number, segment in reversed(list(several)):
            places |= segment.numbers(number << NUMBER_BITS)
        yield partial(_all_of, places)


def _find(segment: Segment, number: int, digests: Sequence[bytes]) -> Numbers:
    return segment.find(set(digests), number << NUMBER_BITS)


def _all_of(places: Numbers, digests: Sequence[bytes]) -> Numbers:
    return places


def _held(segments: Sequence[Segment]) -> set[int]:
    """Return the numbers of those whose indexes are held in memory: as many as there is room for."""
    held, room = set(), HELD
    for number, segment in enumerate(segments):
        if segment.head.answers <= room:
            held.add(number)
            room -= segment.head.answers
    return held


def _stretches(places: Sequence[int]) -> Iterator[tuple[int, Stretch]]:
    """Put answers together that follow each other; yield the segment's number and the stretch. No call per answer."""
    is_cut = map(ne, places[1:], map(add, places, repeat(1)))
    cuts = compress(range(1, len(places)), is_cut)
    for start, end in pairwise(chain([0], cuts, [len(places)])):
        if start < end and places[start] != NOWHERE:
            segment = places[start] >> NUMBER_BITS
            yield segment, Stretch(start, end - start, places[start] - (segment << NUMBER_BITS))
