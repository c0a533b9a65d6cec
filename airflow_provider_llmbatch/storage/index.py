"""What is to be known of the answers of one segment without reading them: a file on this machine.

The answers are numbered from 0. After a line of JSON come four tables: digest and number of each, by digest; and, by
number, the digests; the places where the answers begin, and where the last one ends; and what each of them cost.
"""

from __future__ import annotations

import os
import shutil
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain, count, pairwise
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

import msgspec

from airflow_provider_llmbatch.core.reuse import DIGEST, FORMAT, OURS, thinking
from airflow_provider_llmbatch.storage.spill import Spill

ENTRY = struct.Struct(f">{DIGEST}sI")
"""A digest and the number of its answer."""
_BY_NUMBER = struct.Struct(f"{DIGEST}s")
_NUMBER = 8
"""Bytes of a place and of a cost; the smallest comes first."""
_PART = 2
"""Bits of a digest's first byte that do not count when entries are sorted in parts."""
_COPIED = 1 << 20
SCAN = 1 << 12
"""Entries that are read at once from one end to the other."""
WINDOW = 128
"""Entries that are read at once around the place where a digest should be."""
SCANNED = 16
"""An index with up to so many entries for each digest that is looked for is read from one end to the other."""
NEAR = 512
"""Answers between two stretches whose places are read along with theirs: each call lets another thread take over."""
LONG = 4 << 20
"""Bytes of a run, but for a single answer that is larger."""

Numbers = dict[bytes, int]
"""The numbers of the answers to digests."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    :ivar created_at: When the job was begun whose answers these are; epoch seconds.
    :ivar thinking: How many of the answers show the model's reasoning.
    :ivar columns: Columns of a row that each answer has, in order.
    """

    schema: int = FORMAT
    created_at: float
    answers: int
    thinking: int = 0
    vendor: str
    model: str
    columns: tuple[str, ...] = OURS


class Stretch(NamedTuple):
    """Answers that follow each other, where they were looked up and in their segment.

    :ivar first: Position of the first one's digest among those that were looked up.
    :ivar total: How many they are.
    :ivar number: The first one's.
    """

    first: int
    total: int
    number: int


class Run(NamedTuple):
    """A stretch, or a part of one, that is read at once.

    :ivar start: First byte.
    :ivar end: The byte behind the last.
    :ivar costs: What each answer cost, in the order of the numbers.
    """

    first: int
    total: int
    number: int
    start: int
    end: int
    costs: Sequence[int]


class Index:
    """The index at *path*; it is read, not mapped, for what is mapped and looked at counts as memory of this process.

    :ivar head: Its first line.
    :raises OSError: It cannot be read. Every method may raise this as well.
    :raises ValueError: It is damaged, or of a later release.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            line = file.readline()
            start, end = file.tell(), file.seek(0, os.SEEK_END)
        self.head = head = head_in(line)
        self._entries = start
        self._digests = start + head.answers * ENTRY.size
        self._places = self._digests + head.answers * DIGEST
        self._costs = self._places + (head.answers + 1) * _NUMBER
        if head.schema > FORMAT or end != self._costs + head.answers * _NUMBER:
            raise ValueError(
                f"schema {head.schema}, {end - start:,} bytes for {head.answers:,} answers; this release reads schema "
                f"{FORMAT}"
            )

    def numbers(self, base: int = 0) -> Numbers:
        """Return the numbers of all answers.

        :param base: Is added to each number.
        """
        with self._path.open("rb") as file:
            blocks = _blocks(file, self._digests, self.head.answers, DIGEST)
            digests = chain.from_iterable(chain.from_iterable(map(_BY_NUMBER.iter_unpack, blocks)))
            return dict(zip(digests, count(base), strict=False))

    def find(self, digests: Set[bytes], base: int = 0) -> Numbers:
        """Return the numbers of the answers to *digests*; those that have none are left out.

        :param base: Is added to each number.
        """
        answers = self.head.answers
        with self._path.open("rb") as file:
            if answers <= SCANNED * len(digests):
                entries = chain.from_iterable(map(ENTRY.iter_unpack, _blocks(file, self._entries, answers, ENTRY.size)))
                return {digest: base + number for digest, number in entries if digest in digests}
            found = ((digest, _seek(file, self._entries, answers, digest)) for digest in digests)
            return {digest: base + number for digest, number in found if number is not None}

    def located(self, stretches: Iterable[Stretch]) -> Iterator[Run]:
        """Yield where the answers of each stretch lie, and what they cost; the order is not that of *stretches*."""
        with self._path.open("rb") as file:
            for several in _near(sorted(stretches, key=attrgetter("number"))):
                base, end = several[0].number, max(stretch.number + stretch.total for stretch in several)
                places = _numbers(file, self._places, base, end - base + 1)
                costs = _numbers(file, self._costs, base, end - base)
                for stretch in several:
                    here = stretch.number - base
                    for cut, next_cut in pairwise(_cuts(places, here, here + stretch.total)):
                        yield Run(
                            stretch.first + cut - here,
                            next_cut - cut,
                            base + cut,
                            places[cut],
                            places[next_cut],
                            costs[cut:next_cut],
                        )


class Kept(NamedTuple):
    """An answer that goes into a segment.

    :ivar line: As :func:`~airflow_provider_llmbatch.core.reuse.stored_line` returns it.
    :ivar cost: As :func:`~airflow_provider_llmbatch.core.reuse.cost_of` returns it.
    """

    digest: bytes
    line: bytes
    cost: int


class IndexWriter:
    """Makes the index of a segment while this is written. Its tables wait on the worker's own disk."""

    def __init__(self) -> None:
        self._entries = Spill(ENTRY.size)
        self._tables = [TemporaryFile(prefix="llmbatch-") for _ in range(3)]  # noqa: SIM115 - closed with the object
        self._digests: list[bytes] = []
        self._places, self._costs = array("q"), array("q")
        self._count = self._end = self._thinking = 0

    def add(self, answer: Kept) -> None:
        """Take the next answer in."""
        digest, line, cost = answer
        self._entries.put(digest[0] >> _PART, ENTRY.pack(digest, self._count))
        self._digests.append(digest)
        self._places.append(self._end)
        self._costs.append(cost)
        self._count += 1
        self._end += len(line)
        self._thinking += thinking(1, line)
        if len(self._digests) == SCAN:
            self._spill()

    def _spill(self) -> None:
        columns = b"".join(self._digests), _little(self._places).tobytes(), _little(self._costs).tobytes()
        for table, column in zip(self._tables, columns, strict=True):
            table.write(column)
        self._digests, self._places, self._costs = [], array("q"), array("q")

    def write(self, path: Path, **facts: Any) -> int:
        """Write the index to *path* and return how many answers it has.

        :param facts: What its head says besides.
        """
        self._places.append(self._end)
        self._spill()
        head = Head(answers=self._count, thinking=self._thinking, **facts)
        with path.open("wb") as file:
            file.write(msgspec.json.encode(head) + b"\n")
            for part in self._entries.parts():
                file.write(b"".join(sorted(part)))
            for table in self._tables:
                table.seek(0)
                shutil.copyfileobj(table, file, _COPIED)
        return self._count


def head_in(line: bytes) -> Head:
    """Return what the first line says.

    :raises ValueError: It is none.
    """
    try:
        return msgspec.json.decode(line, type=Head)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _little(numbers: array[int]) -> array[int]:
    """Turn what an index has into this machine's numbers, or these into that."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _numbers(file: BinaryIO, table: int, first: int, total: int) -> array[int]:
    return _little(array("q", os.pread(file.fileno(), total * _NUMBER, table + first * _NUMBER)))


def _blocks(file: BinaryIO, start: int, total: int, width: int) -> Iterator[bytes]:
    """Yield a table, many entries at once."""
    file.seek(start)
    return (file.read(min(SCAN, total - done) * width) for done in range(0, total, SCAN))


def _near(stretches: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Put those together that are near to each other.

    :param stretches: In the order of their numbers.
    """
    several: list[Stretch] = []
    end = 0
    for stretch in stretches:
        if several and (stretch.number - end > NEAR or end - several[0].number > SCAN):
            yield several
            several, end = [], 0
        several.append(stretch)
        end = max(end, stretch.number + stretch.total)
    if several:
        yield several


def _cuts(places: Sequence[int], start: int, end: int) -> Iterator[int]:
    """Yield the positions where a stretch is cut, its beginning and its end among them."""
    while start < end:
        yield start
        start = max(start + 1, bisect_right(places, places[start] + LONG, start, end + 1) - 1)
    yield end


def _seek(file: BinaryIO, start: int, count: int, digest: bytes) -> int | None:
    """Look for *digest* where it should be, for digests are spread evenly; then halve what is left."""
    low, high = 0, count
    bottom, top, wanted = 0, 1 << 64, int.from_bytes(digest[:8], "big")
    guesses = 0
    while low < high:
        guesses += 1
        guess = low + (wanted - bottom) * (high - low) // max(1, top - bottom) if guesses < 8 else (low + high) // 2
        first = min(max(guess - WINDOW // 2, low), max(high - WINDOW, low))
        last = min(first + WINDOW, high)
        block = os.pread(file.fileno(), (last - first) * ENTRY.size, start + first * ENTRY.size)
        if digest < block[:DIGEST]:
            high, top = first, int.from_bytes(block[:8], "big") + 1
        elif digest > block[-ENTRY.size :][:DIGEST]:
            low, bottom = last, int.from_bytes(block[-ENTRY.size :][:8], "big")
        else:
            return _within(block, digest)
    return None


def _within(block: bytes, digest: bytes) -> int | None:
    at = block.find(digest)
    while at >= 0 and at % ENTRY.size:  # it lies across two entries
        at = block.find(digest, at + 1)
    return None if at < 0 else int(ENTRY.unpack_from(block, at)[1])
