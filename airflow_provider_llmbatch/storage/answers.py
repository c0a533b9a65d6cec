"""A store of answers on any storage, without a server: segments that are written once and never changed.

{reuse_uri}/v1/20261122T060000Z-0a1b2c3d4e-1.jsonl   what one job paid for, in the order of its records
{reuse_uri}/v1/20261122T060000Z-0a1b2c3d4e-1.index   a line of JSON; then digest, place and size of each, by digest

A segment is named by its job, so that a job that is run again writes the same one again; two jobs at once write two.
The index is written last: a segment without one is not there. Where two segments have the same digest, the newer one
counts. Looking for answers takes one list call, and one read of each index; these lie on the worker's disk then.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from airflow_provider_llmbatch.core.reuse import DIGEST, FORMAT, OURS
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.folder import Folder, open_folder

T = TypeVar("T")

ENTRY = struct.Struct(f">{DIGEST}s12s")
"""A digest and its place."""
SIZE_BITS = 32
"""Of a place, which is one number: first byte and, in its last bits, size. A tuple each would keep the garbage
collector busy for longer than everything else here takes."""
SIZE = (1 << SIZE_BITS) - 1
SCAN = 1 << 12
"""Entries of an index that are read at once from one end to the other."""
WINDOW = 128
"""Entries that are read at once around the place where a digest should be."""
SCANNED = 16
"""An index with up to so many entries for each digest that is looked for is read from one end to the other."""
GAP = 1 << 16
"""Bytes between two answers that are read along with them: another call takes longer."""
MOST = 32 << 20
"""Bytes that are read at once, but for a single answer that is larger."""
HEAD_BYTES = 4096
"""No head is longer."""

_NAME = re.compile(r"^(?P<at>\d{8}T\d{6}Z)-[0-9a-f]{10}-\d+$")
_TIME = "%Y%m%dT%H%M%SZ"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an index.

    :ivar created_at: When the job was begun whose answers these are; epoch seconds.
    :ivar columns: Columns of a row that each answer has, in order.
    """

    schema: int = FORMAT
    created_at: float
    answers: int
    vendor: str
    model: str
    columns: tuple[str, ...] = OURS


Places = dict[bytes, int]
"""Where the answers to digests lie in their segment."""


class Run(NamedTuple):
    """Answers that lie one after the other in a segment.

    :ivar first: Position of the first one's digest among those that were looked up; the others' follow it.
    :ivar total: How many they are.
    :ivar segment: The segment's number.
    :ivar start: First byte.
    :ivar end: The byte behind the last.
    """

    first: int
    total: int
    segment: int
    start: int
    end: int


def entry(digest: bytes, start: int, size: int) -> bytes:
    """Return what an index says of an answer of *size* bytes that begins at byte *start*."""
    return ENTRY.pack(digest, (start << SIZE_BITS | size).to_bytes(12, "big"))


class LostError(Exception):
    """A segment was deleted while it was being read."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.name)
        self.segment = segment


def segment_name(job_id: str, created_at: float, base: int) -> str:
    """Return the name of the segment of a job; it begins with the time, so that names are in the order of time.

    :param base: The round from which on its answers are: 1, or a later one if failed rows were asked anew.
    """
    return f"{datetime.fromtimestamp(created_at, UTC):{_TIME}}-{job_id}-{base}"


class Store:
    """The answers below one URI.

    :raises InputError: No installed package serves its scheme.
    """

    def __init__(self, uri: str) -> None:
        self.folder: Folder = open_folder(f"{uri.rstrip('/')}/v{FORMAT}")

    def segments(self, since: float = 0.0) -> list[Segment]:
        """Return the segments that are there, the newest first.

        :param since: Leave out those of before; epoch seconds.
        :raises ManifestError: It cannot be told which there are.
        """
        names = self.folder.names("")
        found = [name.removesuffix(".index") for name in names if name.endswith(".index")]
        segments = [Segment(self.folder, name) for name in sorted(found, reverse=True) if _NAME.match(name)]
        return [segment for segment in segments if segment.created_at >= since]

    def has(self, name: str) -> bool:
        """Return whether there is a segment *name*."""
        return self.folder.exists(f"{name}.index")

    def left_over(self, before: float) -> list[str]:
        """Return the files, of before that time, whose segment was not completed."""
        names = self.folder.names("")
        whole = {name.removesuffix(".index") for name in names if name.endswith(".index")}
        lone = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")} - whole
        return [f"{name}.jsonl" for name in sorted(lone) if _NAME.match(name) and _at(name) < before]


class Segment:
    """The answers that one job paid for."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.name = name
        self.created_at = _at(name)
        self._folder = folder

    @property
    def _index_name(self) -> str:
        return f"{self.name}.index"

    def fetch(self) -> Segment:
        """Bring the index to this machine.

        :raises LostError: It is gone.
        """
        self._index  # noqa: B018 - it is read now
        return self

    @cached_property
    def head(self) -> Head:
        """What its first line says."""
        return self._index[0]

    @cached_property
    def _index(self) -> tuple[Head, Path, int, int]:
        """The head, the local path, the place of the first entry, and how many there are."""
        try:
            path = self._folder.local(self._index_name)
            with path.open("rb") as file:
                line = file.readline()
                start, end = file.tell(), file.seek(0, 2)
        except FileNotFoundError:
            raise LostError(self) from None
        except OSError as error:
            raise self.unreadable(f"{type(error).__name__}: {error}") from error
        head = self._decoded(line)
        if head.schema > FORMAT or end - start != head.answers * ENTRY.size:
            raise self.unreadable(
                f"schema {head.schema}, {end - start:,} bytes for {head.answers:,} answers; this release reads schema "
                f"{FORMAT}"
            )
        return head, path, start, head.answers

    def read_head(self) -> Head | None:
        """Return the head without the entries, or ``None`` if the segment is gone."""
        found = self._folder.read_ranges(self._index_name, [(0, HEAD_BYTES)])
        return None if found is None else self._decoded(found[0].partition(b"\n")[0])

    def _decoded(self, line: bytes) -> Head:
        try:
            return msgspec.json.decode(line, type=Head)
        except msgspec.MsgspecError as error:
            raise self.unreadable(str(error)) from None

    def entries(self, base: int = 0) -> Places:
        """Return where all its answers lie.

        :param base: Is added to each place.
        :raises LostError: The segment is gone.
        """
        with self._opened() as file:
            return {digest: base | int.from_bytes(place, "big") for digest, place in _entries(file)}

    def find(self, digests: Set[bytes], base: int = 0) -> Places:
        """Return where the answers to *digests* lie; those that are not here are left out.

        :param base: Is added to each place.
        :raises LostError: The segment is gone.
        """
        _, _, start, count = self._index
        with self._opened() as file:
            if count <= SCANNED * len(digests):
                return {d: base | int.from_bytes(place, "big") for d, place in _entries(file) if d in digests}
            found = ((digest, _seek(file, start, count, digest)) for digest in digests)
            return {digest: base | place for digest, place in found if place is not None}

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open the index where its entries begin."""
        _, path, start, _ = self._index
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise LostError(self) from None
        with file:
            file.seek(start)
            yield file

    def read(self, runs: Iterable[Run]) -> dict[Run, bytes]:
        """Return the lines of each run, one after the other. Runs that are near to each other are read in one go.

        :raises LostError: The segment is gone.
        """
        lines: dict[Run, bytes] = {}
        for spans in portions(_spans(sorted(runs, key=attrgetter("start", "end"))), lambda span: span[1] - span[0]):
            parts = self._folder.read_ranges(f"{self.name}.jsonl", [(start, end) for start, end, _ in spans])
            if parts is None:
                raise LostError(self)
            for (start, _, several), part in zip(spans, parts, strict=True):
                lines |= {run: part[run.start - start : run.end - start] for run in several}
        return lines

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


def _at(name: str) -> float:
    return datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC).timestamp()


def _entries(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield digest and place of every answer."""
    blocks = iter(lambda: file.read(SCAN * ENTRY.size), b"")
    return chain.from_iterable(map(ENTRY.iter_unpack, blocks))


def _seek(file: BinaryIO, start: int, count: int, digest: bytes) -> int | None:
    """Look for *digest* where it should be, for digests are spread evenly; then halve what is left.

    The file is read, not mapped: what is mapped and looked at counts as memory of this process.
    """
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
    return None if at < 0 else int.from_bytes(block[at + DIGEST : at + ENTRY.size], "big")


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
