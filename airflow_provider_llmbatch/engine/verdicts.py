"""Answers beside their records, in the order of the index, without holding more than one shard's offsets in memory.

Results come in any order. For each shard a first pass notes where each answer lies in the file; a second one reads
them in order. Rounds are streams in the same order, so matching them is a walk side by side.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from airflow_provider_llmbatch.core.manifest import Round, ShardState, Tally
from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.core.requests import custom_id, index_of
from airflow_provider_llmbatch.core.results import MISSING, STATUSES, Line, Result, not_answered
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import name_in, read

T = TypeVar("T")

_line = msgspec.json.Decoder(Line).decode
_record = msgspec.json.Decoder(Record).decode


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One request as it was sent."""

    index: int
    line: bytes
    lane: str


class Offsets(NamedTuple):
    """Where each answer of a shard lies in its results file, and what was wrong with the rest."""

    places: dict[int, tuple[int, int]]
    damaged: int
    duplicated: int
    foreign: int


def locate(job: Job, shard: ShardState, path: Path) -> Offsets:
    """Note where each answer lies. Of two lines for one request the good one counts, else the first."""
    places: dict[int, tuple[int, int]] = {}
    damaged = duplicated = foreign = offset = 0
    wanted = set(indexes(job, shard))
    with path.open("rb") as file:
        for line in file:
            place, offset = (offset, len(line)), offset + len(line)
            name = name_in(line)
            if name is None:
                damaged += bool(line.strip())
                continue
            index = index_of(name, job=job.spec.job_id, round_=shard.round)
            if index is None or index not in wanted:
                foreign += 1
            elif index not in places:
                places[index] = place
            else:
                duplicated += 1
                if read(job, line).status == "succeeded" != read(job, _at(path, places[index])).status:
                    places[index] = place
    return Offsets(places, damaged, duplicated, foreign)


def tally(job: Job, shard: ShardState, path: Path) -> Tally:
    """Count a results file once it is complete: every request of the shard has exactly one verdict."""
    statuses = dict.fromkeys(STATUSES, 0)
    stops: Counter[str] = Counter()
    thinking = 0
    offsets = locate(job, shard, path)
    for _, answer in shard_answers(job, shard, path, offsets):
        result = answer.result
        statuses[result.status] += 1
        thinking += result.thinking is not None
        if result.remedy in ("budget", "credential"):
            stops[result.error_code or result.status] += 1
    return Tally(
        statuses={status: count for status, count in statuses.items() if count},
        stops=dict(stops),
        thinking=thinking,
        damaged=offsets.damaged,
        duplicated=offsets.duplicated,
        foreign=offsets.foreign,
    )


def shard_answers(
    job: Job, shard: ShardState, path: Path, offsets: Offsets | None = None
) -> Iterator[tuple[int, Answer]]:
    """Yield every request of *shard* with its answer, in the order of the index."""
    places = (offsets or locate(job, shard, path)).places
    absent = _absent(job, shard)
    with path.open("rb", buffering=0) as file:
        for index in indexes(job, shard):
            place = places.get(index)
            result = read(job, os.pread(file.fileno(), place[1], place[0])) if place else absent
            yield (
                index,
                Answer(result, shard.round, shard.batch_id, custom_id(job.spec.job_id, shard.round, index)),
            )


def _at(path: Path, place: tuple[int, int]) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), place[1], place[0])


def _absent(job: Job, shard: ShardState) -> Result:
    """Return the verdict of a request that has no line: missing, or what stopped the whole batch."""
    batch = shard.batch
    if batch is None or batch.status != "failed":
        return MISSING
    problem = batch.errors[0] if batch.errors else None
    code = problem.code if problem else "batch_failed"
    message = problem.message if problem else "The vendor refused the whole batch and did not say why."
    remedy = job.hook.remedy(code, 400)
    return not_answered("errored", code, f"The vendor refused the whole batch: {message}", remedy)


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
    heap: list[tuple[int, int, T, Iterator[T]]] = []

    order = count()

    def push(order: int, stream: Iterator[T]) -> None:
        for item in stream:
            heapq.heappush(heap, (index(item), order, item, stream))
            return

    while waiting or heap:
        while waiting and (not heap or waiting[-1].shard.first <= heap[0][0]):
            shard = waiting.pop()
            push(next(order), read(shard))
        if heap:
            _, opened, item, stream = heapq.heappop(heap)
            yield item
            push(opened, stream)


def requests_of(job: Job, round_: Round) -> Iterator[Asked]:
    """Yield every request of *round_* in the order of the index."""
    return in_order(round_.shards, lambda shard: requests_in(job, shard), lambda asked: asked.index)


def records_of(job: Job) -> Iterator[Record]:
    """Yield every record in the order of the index."""
    for number in range(job.manifest.rounds[0].prepared.record_files):
        with job.folder.files.local(job.folder.records_name(number)).open("rb") as file:
            yield from map(_record, file)


def answers_of(job: Job, round_: Round) -> Iterator[tuple[int, Answer]]:
    """Yield every answer of *round_* in the order of the index."""

    def read(shard: ShardState) -> Iterator[tuple[int, Answer]]:
        return shard_answers(job, shard, job.folder.files.local(job.folder.results_name(shard)))

    return in_order(round_.shards, read, lambda pair: pair[0])


def all_answers(job: Job) -> Iterator[tuple[int, list[Answer]]]:
    """Yield every index that was asked with its answers of all rounds, in the order of the rounds."""
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
