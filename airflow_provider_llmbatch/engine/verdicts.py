"""Answers beside their records, in the order of the index, without holding more than one shard's offsets in memory.

Results come in any order. For each shard a first pass notes where each answer lies in the file; a second one reads
them in order. Rounds are streams in the same order, so matching them is a walk side by side.
"""

from __future__ import annotations

import heapq
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_llmbatch.core.manifest import Round, ShardState
from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.core.requests import Name, custom_id, index_of
from airflow_provider_llmbatch.core.results import MISSING, Line, Result, not_answered
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import name_in, read

T = TypeVar("T")

BUFFER = 1 << 20
SMALL = 8 << 20
"""Bytes of a results file that is held in memory while answers are taken from it one by one: no call for each."""

_line = msgspec.json.Decoder(Line).decode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One request as it was sent."""

    index: int
    line: bytes
    lane: str


class Places(NamedTuple):
    """Where each answer of a shard lies in its results file.

    :ivar starts: By the request's position among those of the shard.
    :ivar sizes: In bytes; 0: there is no answer.
    """

    starts: array[int]
    sizes: array[int]


def locate(job: Job, shard: ShardState, path: Path) -> Places:
    """Find each answer. Of two lines for one request the good one counts, else the first."""
    starts, sizes = array("Q", bytes(8 * shard.shard.count)), array("Q", bytes(8 * shard.shard.count))
    position_of, end = position_in(job, shard), 0
    with path.open("rb", buffering=BUFFER) as file:
        for line in file:
            start, end = end, end + len(line)
            name = name_in(line)
            position = None if name is None else position_of(name)
            if position is None:
                continue
            if sizes[position]:
                before = read(job, _at(path, starts[position], sizes[position]))
                if before.status == "succeeded" or read(job, line).status != "succeeded":
                    continue
            starts[position], sizes[position] = start, len(line)
    return Places(starts, sizes)


def shard_answers(job: Job, shard: ShardState) -> Iterator[tuple[int, Answer]]:
    """Yield every request of *shard* with its answer, in the order of the index."""
    name = custom_id(job.spec.job_id, shard.round, "")
    path = job.folder.files.local(job.folder.results_name(shard))
    places, absent = locate(job, shard, path), absent_of(job, shard)
    whole = path.read_bytes() if path.stat().st_size <= SMALL else b""
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        for index, start, size in zip(indexes(job, shard), places.starts, places.sizes, strict=True):
            line = whole[start : start + size] if whole else os.pread(number, size, start) if size else b""
            result = read(job, line) if line else absent
            yield index, Answer(result, shard.round, shard.batch_id, f"{name}{index}")


def _at(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), size, start)


def absent_of(job: Job, shard: ShardState) -> Result:
    """Return the verdict of a request that has no line: missing, or what stopped the whole batch."""
    batch = shard.batch
    if batch is None or batch.status != "failed":
        return MISSING
    problem = batch.errors[0] if batch.errors else None
    code = problem.code if problem else "batch_failed"
    message = problem.message if problem else "The vendor refused the whole batch and did not say why."
    remedy = job.hook.remedy(code, 400)
    return not_answered("errored", code, f"The vendor refused the whole batch: {message}", remedy)


def position_in(job: Job, shard: ShardState) -> Callable[[str], int | None]:
    """Return a function from a custom id to its request's position in *shard*; ``None``: it is of no request there."""
    found, name = indexes(job, shard), Name(job.spec.job_id, shard.round)
    if isinstance(found, range):
        return name.places(found)
    positions: dict[int | None, int] = {index: position for position, index in enumerate(found)}
    return lambda text: positions.get(name.index_in(text))


def indexes(job: Job, shard: ShardState) -> Iterable[int]:
    """Return the record indexes of *shard*, in order."""
    if shard.shard.count == shard.shard.last - shard.shard.first + 1:
        return range(shard.shard.first, shard.shard.last + 1)
    return (asked.index for asked in requests_in(job, shard))


def requests_in(job: Job, shard: ShardState) -> Iterator[Asked]:
    """Yield the requests of *shard* in the order of the index."""
    with job.folder.files.local(job.folder.requests_name(shard)).open("rb") as file:
        for line in file:
            index = index_of(_line(line).custom_id, job=job.spec.job_id, round_=shard.round)
            yield Asked(-1 if index is None else index, line, shard.shard.lane)


def in_order(
    shards: Iterable[ShardState], read: Callable[[ShardState], Iterator[T]], index: Callable[[T], int]
) -> Iterator[T]:
    """Merge the streams of *shards* by index, opening each one only when its first index is due."""
    waiting = sorted(shards, key=lambda shard: shard.shard.first, reverse=True)
    heap: list[tuple[int, int, T, Iterator[T], Shard]] = []

    def push(shard: Shard, stream: Iterator[T]) -> None:
        for item in stream:
            heapq.heappush(heap, (index(item), shard.number, item, stream, shard))
            return

    while waiting or heap:
        while waiting and (not heap or waiting[-1].shard.first <= heap[0][0]):
            following = waiting.pop()
            push(following.shard, read(following))
        if not heap:
            continue
        _, _, item, stream, shard = heapq.heappop(heap)
        yield item
        if heap or (waiting and waiting[-1].shard.first < shard.last):
            push(shard, stream)
        else:  # as a rule: shards stand one after the other
            yield from stream


def requests_of(job: Job, round_: Round) -> Iterator[Asked]:
    """Yield every request of *round_* in the order of the index."""
    return in_order(round_.shards, lambda shard: requests_in(job, shard), lambda asked: asked.index)


def records_of(job: Job, files: int | None = None) -> Iterator[Record]:
    """Yield every record in the order of the index.

    :param files: How many files hold them, while that is not written down yet.
    """
    for index, (key, line) in enumerate(lines_of(job, files)):
        yield Record(index, key, _fields(line))


def lines_of(job: Job, files: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield the key of every record and the record as a line of JSON, in the order of the index.

    :param files: As in :func:`records_of`.
    """
    key = job.spec.key
    for index, line in enumerate(record_lines(job, files)):
        yield str(index) if key is None else key_in(line, key), line


def key_in(line: bytes, column: str) -> str:
    """Return the key of a record, as its *column* has it."""
    return str(_fields(line)[column])


def record_lines(job: Job, files: int | None = None) -> Iterator[bytes]:
    """Return every record as a line of JSON.

    :param files: As in :func:`records_of`.
    """
    if files is None:
        files = job.manifest.rounds[0].prepared.record_files
    return chain.from_iterable(map(partial(_lines_in, job), range(files)))


def _lines_in(job: Job, number: int) -> Iterator[bytes]:
    with job.folder.files.local(job.folder.records_name(number)).open("rb", buffering=BUFFER) as file:
        yield from file


def answers_of(job: Job, round_: Round) -> Iterator[tuple[int, Answer]]:
    """Yield every answer of *round_* in the order of the index."""
    return in_order(round_.shards, lambda shard: shard_answers(job, shard), lambda pair: pair[0])


def all_answers(job: Job) -> Iterator[tuple[int, list[Answer]]]:
    """Yield every index that was asked with its answers of all rounds, in the order of the rounds."""
    if len(job.manifest.rounds) == 1:
        yield from ((index, [answer]) for index, answer in answers_of(job, job.manifest.rounds[0]))
        return
    for pairs in _overlaid([answers_of(job, round_) for round_ in job.manifest.rounds], lambda pair: pair[0]):
        yield pairs[0][0], [answer for _, answer in pairs]


def latest_requests(job: Job) -> Iterator[Asked]:
    """Yield, for every index that was asked, the request that was sent last."""
    streams = [requests_of(job, round_) for round_ in job.manifest.rounds]
    for several in _overlaid(streams, lambda asked: asked.index):
        yield several[-1]


def _overlaid(streams: Sequence[Iterator[T]], index: Callable[[T], int]) -> Iterator[list[T]]:
    """Walk streams side by side that are in the order of the index; the first one has every index."""
    first, *later = streams
    heads = [next(stream, None) for stream in later]
    for item in first:
        found = [item]
        for position, stream in enumerate(later):
            head = heads[position]
            if head is not None and index(head) == index(item):
                found.append(head)
                heads[position] = next(stream, None)
        yield found
