"""Answers beside their records, in the order of the index, without holding more than one shard's offsets in memory.

Results come in any order. For each shard a first pass notes where each answer lies in the file; a second one reads
them in order. Rounds are streams in the same order, so matching them is a walk side by side.
"""

from __future__ import annotations

import heapq
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_llmbatch.core.manifest import Round, ShardState, Tally
from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.core.requests import Name, custom_id, index_of
from airflow_provider_llmbatch.core.results import MISSING, STATUSES, Line, Result, not_answered
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.kept import Shelf
from airflow_provider_llmbatch.engine.reading import name_in, read, read_named

T = TypeVar("T")

BUFFER = 1 << 20
RUN = 500
"""Answers that are read at once."""

_line = msgspec.json.Decoder(Line).decode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One request as it was sent."""

    index: int
    line: bytes
    lane: str


Note = Callable[[int, Result], None]
"""Takes the verdict on one of a shard's requests, named by its position among them."""


class Offsets(NamedTuple):
    """Where each answer of a shard lies in its results file, and what was wrong with the rest.

    :ivar starts: By the request's position among those of the shard.
    :ivar sizes: In bytes; 0: there is no answer.
    """

    starts: array[int]
    sizes: array[int]
    damaged: int
    duplicated: int
    foreign: int


def locate(job: Job, shard: ShardState, path: Path, note: Note | None = None) -> Offsets:
    """Find each answer. Of two lines for one request the good one counts, else the first.

    :param note: Is told the verdict on every line that counts, and again if a better line takes its place.
    """
    starts, sizes = array("Q", bytes(8 * shard.shard.count)), array("Q", bytes(8 * shard.shard.count))
    damaged = duplicated = foreign = end = 0
    position_of = _positions(job, shard)
    with path.open("rb", buffering=BUFFER) as file:
        for line in file:
            start, end = end, end + len(line)
            name, result = read_named(job, line) if note else (name_in(line), None)
            if name is None:
                damaged += bool(line.strip())
                continue
            position = position_of(name)
            if position is None:
                foreign += 1
                continue
            if sizes[position]:
                duplicated += 1
                before = read(job, _at(path, starts[position], sizes[position]))
                if before.status == "succeeded" or read(job, line).status != "succeeded":
                    continue
            starts[position], sizes[position] = start, len(line)
            if note and result:
                note(position, result)
    return Offsets(starts, sizes, damaged, duplicated, foreign)


def _positions(job: Job, shard: ShardState) -> Callable[[str], int | None]:
    """Return a function from a custom id to its request's position in *shard*; ``None``: it is of no request there."""
    found, name = indexes(job, shard), Name(job.spec.job_id, shard.round)
    if isinstance(found, range):
        first, last = found[0], found[-1]

        def position_of(text: str) -> int | None:
            index = name.index_in(text)
            return None if index is None or not first <= index <= last else index - first

        return position_of
    positions: dict[int | None, int] = {index: position for position, index in enumerate(found)}
    return lambda text: positions.get(name.index_in(text))


def tally(job: Job, shard: ShardState, path: Path) -> Tally:
    """Count a results file once it is complete: every request of the shard has exactly one verdict."""
    absent = _absent(job, shard)
    shelf = Shelf(shard.shard.count, absent)
    others: dict[int, Result] = {}

    def note(position: int, result: Result) -> None:
        shelf.put(position, result)
        if result.status != "succeeded" or result.thinking is not None:
            others[position] = result
        elif others:
            others.pop(position, None)

    offsets = locate(job, shard, path, note)
    shelf.close(job.kept, shard.name)
    missing = offsets.sizes.count(0)
    statuses = Counter({"succeeded": shard.shard.count - missing - len(others), absent.status: missing})
    statuses.update(result.status for result in others.values())
    stops = Counter({_stop(absent): missing})
    stops.update(_stop(result) for result in others.values())
    return Tally(
        statuses={status: statuses[status] for status in STATUSES if statuses[status]},
        stops={code: number for code, number in stops.items() if code and number},
        thinking=sum(result.thinking is not None for result in others.values()),
        damaged=offsets.damaged,
        duplicated=offsets.duplicated,
        foreign=offsets.foreign,
    )


def _stop(result: Result) -> str | None:
    """Return the error code of a row that nothing but more budget or another key can help."""
    return result.error_code or result.status if result.remedy in ("budget", "credential") else None


def shard_answers(job: Job, shard: ShardState) -> Iterator[tuple[int, Answer]]:
    """Yield every request of *shard* with its answer, in the order of the index."""
    name = custom_id(job.spec.job_id, shard.round, "")
    results = chain.from_iterable(result_runs(job, shard))
    for index, result in zip(indexes(job, shard), results, strict=True):
        yield index, Answer(result, shard.round, shard.batch_id, f"{name}{index}")


def result_runs(job: Job, shard: ShardState) -> Iterator[list[Result]]:
    """Return the answer to each request of *shard*, in order, some at a time."""
    kept = job.kept.runs(shard.name)
    if kept is not None:
        return kept
    results = _results(job, shard)
    return iter(lambda: list(islice(results, RUN)), [])


def _results(job: Job, shard: ShardState) -> Iterator[Result]:
    path = job.folder.files.local(job.folder.results_name(shard))
    offsets = locate(job, shard, path)
    absent = _absent(job, shard)
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        for start, size in zip(offsets.starts, offsets.sizes, strict=True):
            yield read(job, os.pread(number, size, start)) if size else absent


def _at(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), size, start)


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
        yield str(index) if key is None else str(_fields(line)[key]), line


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
