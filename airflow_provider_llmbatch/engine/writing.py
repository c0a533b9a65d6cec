"""The files of a round, written as a stream; none of them appears before it is whole."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.manifest import stem
from airflow_provider_llmbatch.core.records import Block
from airflow_provider_llmbatch.core.requests import Request, Requests, index_of
from airflow_provider_llmbatch.core.results import Line
from airflow_provider_llmbatch.core.shards import Cutter, Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.window import limits_of
from airflow_provider_llmbatch.storage.behind import Behind, written_behind

BUFFER = 1 << 16
"""Blocks are larger, and are written past the buffer."""
PER_FILE = 100_000
"""Records in one file, and up to a block more: what one step of the work has to fetch from a bucket."""

_line = msgspec.json.Decoder(Line).decode


class RecordFiles:
    """The records in their order, as lines of JSON. Index and key are not among them: they follow from the order.

    :ivar count: Records so far.
    :ivar files: Files so far.
    """

    def __init__(self, job: Job) -> None:
        self.count = self.files = 0
        self._folder = job.folder
        self._columns: dict[str, None] = {}
        self._encode = msgspec.json.Encoder().encode_lines
        self._stack = ExitStack()
        self._file: Behind | None = None
        self._full_at = 0

    def __enter__(self) -> RecordFiles:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @property
    def columns(self) -> list[str]:
        """The records' columns in the order they were first seen."""
        return list(self._columns)

    def add(self, block: Block) -> None:
        """Write some records."""
        if self._file is None or self.count >= self._full_at:
            self._file = self._next()
            self._full_at = self.count + PER_FILE
        self._file.write(block.lines or self._encode(block.rows))
        self.count += len(block.rows)
        for shape in block.shapes:
            self._columns |= dict.fromkeys(shape)

    def close(self) -> None:
        """Complete the last file."""
        self._stack.close()

    def _next(self) -> Behind:
        self._stack.close()
        files = self._folder.files
        path = self._stack.enter_context(files.landing(self._folder.records_name(self.files)))
        self.files += 1
        return self._stack.enter_context(written_behind(path, syncs=files.syncs))


class ShardFiles:
    """The requests of one round, cut into shards. Nothing of it appears before :meth:`close`.

    :param first_alone: Let the first shard hold one request only.
    """

    def __init__(self, job: Job, round_: int, *, first_alone: bool = False) -> None:
        self._job = job
        self._round = round_
        self._cutter = Cutter(limits_of(job), first_alone=first_alone)
        self._shards: dict[int, _ShardFile] = {}
        self._open: set[int] = set()

    def __enter__(self) -> ShardFiles:
        return self

    def __exit__(self, *error: Any) -> None:
        for shard in self._shards.values():
            shard.abandon()

    def add(self, request: Request, index: int) -> None:
        """Put the request of record *index* into its shard."""
        self.add_all(Requests(index, 1, *request))

    def add_all(self, requests: Requests) -> None:
        """Put each request into its shard."""
        place = self._cutter.place(requests)
        if place is None:
            for half in requests.halves():
                self.add_all(half)
            return
        if place not in self._shards:
            self._finish_full()
            self._shards[place] = _ShardFile(self._job, self._round, place, requests.lane)
            self._open.add(place)
        self._shards[place].add(requests)

    def _finish_full(self) -> None:
        for place in [place for place in self._open if self._cutter.is_full(place)]:
            self._shards[place].finish()
            self._open.remove(place)

    def without(self, twins: Iterator[int]) -> Iterator[tuple[int, bytes, str]]:
        """Yield index, line and lane of every request but those of *twins*, in the order of the index."""
        for shard in self._shards.values():
            shard.finish()
        skipped = next(twins, None)
        for index, line, lane in heapq.merge(*(shard.requests() for shard in self._shards.values())):
            if index == skipped:
                skipped = next(twins, None)
            else:
                yield index, line, lane

    def close(self) -> list[Shard]:
        """Let every file appear and return the shards in order."""
        made = [self._shards[place].land() for place in sorted(self._shards)]
        self._shards.clear()
        return made


class _ShardFile:
    """One shard being written."""

    def __init__(self, job: Job, round_: int, place: int, lane: str) -> None:
        self._job, self._round = job, round_
        self._place, self._lane = place, lane
        self._first = self._last = self._count = self._bytes = 0
        self._digest = sha256()
        self._landing = ExitStack()
        self._path: Path = self._landing.enter_context(
            job.folder.files.landing(f"requests/{stem(round_, place)}.jsonl")
        )
        self._file = self._path.open("wb", buffering=BUFFER)

    def add(self, requests: Requests) -> None:
        self._file.write(requests.lines)
        self._digest.update(requests.lines)
        self._first = requests.first if not self._count else self._first
        self._last = requests.first + requests.total - 1
        self._count += requests.total
        self._bytes += len(requests.lines)

    def requests(self) -> Iterator[tuple[int, bytes, str]]:
        """Yield index, line and lane of every request."""
        with self._path.open("rb") as file:
            for line in file:
                index = index_of(_line(line).custom_id, job=self._job.spec.job_id, round_=self._round)
                yield -1 if index is None else index, line, self._lane

    def finish(self) -> None:
        """Write nothing more."""
        self._file.close()

    def land(self) -> Shard:
        """Let the file appear."""
        self._file.close()
        self._landing.close()
        return Shard(
            number=self._place,
            lane=self._lane,
            count=self._count,
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            first=self._first,
            last=self._last,
        )

    def abandon(self) -> None:
        """Leave nothing behind: a landing that ends in an error does not appear."""
        self._file.close()
        self._landing.__exit__(_Abandoned, _Abandoned(), None)


class _Abandoned(Exception):
    """Tells a landing that its file is not to appear."""
