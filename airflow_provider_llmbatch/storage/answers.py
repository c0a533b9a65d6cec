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
from collections.abc import Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from airflow_provider_llmbatch.core.reuse import DIGEST, FORMAT, OURS, are_of
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.folder import Folder, open_folder

ENTRY = struct.Struct(f">{DIGEST}s12s")
"""A digest and its place."""
SIZE_BITS = 32
"""Of a place, which is one number: first byte and, in its last bits, size. A tuple each would keep the garbage
collector busy for longer than everything else here takes."""
SIZE = (1 << SIZE_BITS) - 1
SCAN = 1 << 12
"""Entries of an index that are read at once from one end to the other."""
HELD = 1 << 18
"""Entries that are held in memory at most, of all indexes together: some 50 MB. Small segments are quick then."""
WINDOW = 128
"""Entries that are read at once around the place where a digest should be."""
SCANNED = 16
"""An index with up to so many entries for each digest that is looked for is read from one end to the other."""
GAP = 1 << 16
"""Bytes between two answers that are read along with them: another call takes longer."""
MOST = 32 << 20
"""Bytes that are read at once, but for a single answer that is larger."""
READERS = 8
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
    """The answers that one job paid for.

    :ivar is_held: Whether its index may be in memory.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self.name = name
        self.is_held = False
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
            raise self._unreadable(f"{type(error).__name__}: {error}") from error
        head = self._decoded(line)
        if head.schema > FORMAT or end - start != head.answers * ENTRY.size:
            raise self._unreadable(
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
            raise self._unreadable(str(error)) from None

    def find(self, digests: Set[bytes]) -> Places:
        """Return where the answers to *digests* lie; those that are not here are left out."""
        _, path, start, count = self._index
        if self.is_held:
            held = self._held
            return {digest: held[digest] for digest in digests if digest in held}
        with path.open("rb") as file:
            if count <= SCANNED * len(digests):
                entries = chain.from_iterable(map(ENTRY.iter_unpack, _blocks(file, start)))
                return {digest: int.from_bytes(place, "big") for digest, place in entries if digest in digests}
            found = ((digest, _seek(file, start, count, digest)) for digest in digests)
            return {digest: place for digest, place in found if place is not None}

    @cached_property
    def _held(self) -> Places:
        _, path, start, _ = self._index
        with path.open("rb") as file:
            entries = chain.from_iterable(map(ENTRY.iter_unpack, _blocks(file, start)))
            return {digest: int.from_bytes(place, "big") for digest, place in entries}

    def read(self, places: Places) -> list[bytes]:
        """Return the lines at *places*, which must be in their order here. Neighbours are read in one go.

        :raises LostError: The segment is gone.
        :raises ManifestError: What lies there is not what the index says.
        """
        lines: list[bytes] = []
        for runs in _batches(_runs(places.values())):
            parts = self._folder.read_ranges(f"{self.name}.jsonl", [(start, end) for start, end, _ in runs])
            if parts is None:
                raise LostError(self)
            for (offset, _, run), part in zip(runs, parts, strict=True):
                starts = [(place >> SIZE_BITS) - offset for place in run]
                lines += [part[start : start + (place & SIZE)] for start, place in zip(starts, run, strict=True)]
        if not are_of(lines, places):
            raise self._unreadable("where one should be lies another, or a part of one")
        return lines

    def delete(self) -> None:
        """Delete it; the index goes first, so that nobody finds what is no longer there."""
        for name in (self._index_name, f"{self.name}.jsonl"):
            self._folder.remove(name)

    def _unreadable(self, why: str) -> ManifestError:
        uri = self._folder.uri_of(self._index_name)
        return ManifestError(
            f"{uri!r}: the kept answers cannot be read ({why}). Nothing was sent. Restore the segment, or delete its "
            "two files: what they held is then asked, and paid, anew.",
            uri=uri,
        )


def fetched(segments: Sequence[Segment]) -> list[Segment]:
    """Bring the indexes of *segments* to this machine, several at once; those that are gone are left out.

    As many of them as there is room for are held in memory.
    """

    def there(segment: Segment) -> Segment | None:
        try:
            return segment.fetch()
        except LostError:
            return None

    first, others = [there(segment) for segment in segments[:1]], segments[1:]  # the first one makes room on disk
    with ThreadPoolExecutor(READERS) as several:
        found = [segment for segment in [*first, *several.map(there, others)] if segment is not None]
    room = HELD
    for segment in found:
        segment.is_held = segment.head.answers <= room
        room -= segment.head.answers if segment.is_held else 0
    return found


def _at(name: str) -> float:
    return datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC).timestamp()


def _blocks(file: BinaryIO, start: int) -> Iterator[bytes]:
    """Yield the entries of an index, some at a time."""
    file.seek(start)
    while block := file.read(SCAN * ENTRY.size):
        yield block


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


Run = tuple[int, int, list[int]]
"""First byte, the byte behind the last, and the places between them."""


def _runs(places: Iterable[int]) -> Iterator[Run]:
    """Put those together that lie so near to each other that one read brings them."""
    run: list[int] = []
    first = end = 0
    for place in places:
        start = place >> SIZE_BITS
        if run and (start - end > GAP or start - first > MOST):
            yield first, end, run
            run = []
        if not run:
            first = start
        run.append(place)
        end = start + (place & SIZE)
    if run:
        yield first, end, run


def _batches(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Put as many runs together as are read at once."""
    batch: list[Run] = []
    size = 0
    for run in runs:
        extent = run[1] - run[0]
        if batch and size + extent > MOST:
            yield batch
            batch, size = [], 0
        batch.append(run)
        size += extent
    if batch:
        yield batch
