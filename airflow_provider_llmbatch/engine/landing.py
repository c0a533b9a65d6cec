"""One shard's results on their way to rows: each line is read once, in whatever order they come, and counted.

Most answers are good the first time they are asked for. All of their row but the record itself is known at once, so
it is priced and written right here, to the worker's own disk, where it waits for its turn. That only saves time:
whoever does not find it reads the results again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import msgspec

from airflow_provider_llmbatch.core.manifest import ShardState, Tally
from airflow_provider_llmbatch.core.requests import custom_id
from airflow_provider_llmbatch.core.results import STATUSES, Result, total_usage
from airflow_provider_llmbatch.core.rows import Answer, Totals, ours
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import read_named
from airflow_provider_llmbatch.engine.shelf import BUFFER, Shelf
from airflow_provider_llmbatch.engine.till import Till
from airflow_provider_llmbatch.engine.verdicts import absent_of, position_in

RUN = 500
"""Good answers that are priced at once."""
GOOD = 1
"""The number of the first verdict, which is the good one; 0: there is none yet."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


class Landing(NamedTuple):
    """What came of one shard.

    :ivar tally: Every request has exactly one verdict.
    :ivar shelf: For each request in order, our columns of its row as JSON, or else what :meth:`answer` takes. Where the
        job has a key, :func:`with_key` puts it in.
    :ivar has_rows: Whether there are such columns: good answers are left out where their rows are not known yet.
    :ivar totals: What those rows come to.
    :ivar till: What they cost.
    :ivar absent: The verdict on requests without an answer.
    """

    shard: ShardState
    tally: Tally
    shelf: Shelf
    has_rows: bool
    totals: Totals
    till: Till
    absent: Result

    def answer(self, job: Job, index: int, line: bytes) -> Answer:
        """Return the answer of record *index*, which waits for more than one look."""
        result = self.absent if line == b"\n" else _decode(line)
        name = custom_id(job.spec.job_id, self.shard.round, index)
        return Answer(result, self.shard.round, self.shard.batch_id, name)

    def others(self) -> Iterator[Result]:
        """Yield the results that are not rows yet."""
        return (_decode(line) for line in self.shelf.lines() if line.startswith(b"["))


class _Reader:
    """Reads one shard's results. Of two lines for one request the good one counts, else the first."""

    def __init__(self, job: Job, shard: ShardState) -> None:
        self._job = job
        self._shard = shard
        self._makes_rows = _is_plain(job, shard)
        self._verdicts = bytearray(shard.shard.count)
        self._others: dict[int, tuple[str | None, bool, bool]] = {}
        self._damaged = self._duplicated = self._foreign = 0
        self._totals = Totals()
        self._till = Till(job)
        self._shelf = Shelf(job.scratch / shard.name, shard.shard.count)

    def read(self, path: Path) -> Landing:
        """Read a results file once it is complete."""
        job, verdicts, position_of = self._job, self._verdicts, position_in(self._job, self._shard)
        read_quickly = job.hook.read_plain if job.takes_text else _not_plain
        good: list[tuple[int, str, Result]] = []
        with path.open("rb", buffering=BUFFER) as file:
            for line in file:
                name, result = read_quickly(line) or read_named(job, line)
                if name is None or result is None:
                    self._damaged += bool(line.strip())
                    continue
                position = position_of(name)
                if position is None:
                    self._foreign += 1
                elif (
                    verdicts[position] == 0
                    and result.status == "succeeded"
                    and result.thinking is None
                    and not result.is_full_price
                ):
                    verdicts[position] = GOOD
                    good.append((position, name, result))
                    if len(good) == RUN:
                        self._make_rows(good)
                        good = []
                else:
                    self._put_aside(position, result)
        self._make_rows(good)
        self._shelf.close()
        absent = absent_of(job, self._shard)
        return Landing(
            self._shard, self._tally(absent), self._shelf, self._makes_rows, self._totals, self._till, absent
        )

    def _make_rows(self, good: list[tuple[int, str, Result]]) -> None:
        """Price good answers and make the rows, if they are known without the records."""
        if not (good and self._makes_rows):
            return
        positions, names, results = zip(*good, strict=True)
        usages = [result.usage for result in results]
        total = total_usage(usages)
        costs = self._till.take_all(results, usages, total)
        self._totals.add_good(len(results), total, costs)
        shard, keyed = self._shard, self._job.spec.key is not None
        indexes = [shard.shard.first + position for position in positions]
        keys = repeat("") if keyed else map(str, indexes)
        rows = map(ours, indexes, keys, results, repeat(shard.round), repeat(shard.batch_id), names, usages, costs)
        self._shelf.put(positions, map(_encode, rows))

    def _put_aside(self, position: int, result: Result) -> None:
        """Take in what is not ordinary (see :meth:`read`) or comes second: it becomes a row later, singly."""
        if self._verdicts[position]:
            self._duplicated += 1
            if result.status != "succeeded" or self._verdicts[position] == GOOD:
                return
        self._verdicts[position] = GOOD + STATUSES.index(result.status)
        self._others[position] = _stop(result), result.thinking is not None, result.is_full_price
        self._shelf.put([position], [_encode(result)])

    def _tally(self, absent: Result) -> Tally:
        missing = self._verdicts.count(0)
        statuses = {status: self._verdicts.count(code) for code, status in enumerate(STATUSES, GOOD)}
        statuses[absent.status] += missing
        stops = Counter(stop for stop, _, _ in self._others.values()) + Counter({_stop(absent): missing})
        return Tally(
            statuses={status: number for status, number in statuses.items() if number},
            stops={code: number for code, number in stops.items() if code},
            thinking=sum(thinks for _, thinks, _ in self._others.values()),
            damaged=self._damaged,
            duplicated=self._duplicated,
            foreign=self._foreign,
            full_price=sum(is_full for _, _, is_full in self._others.values()) or msgspec.UNSET,
        )


def with_key(line: bytes, index: int, key: str) -> bytes:
    """Put the record's key into a row that was made without the record."""
    start = b'{"llm_index":%d,"llm_key":' % index
    return b"%b%b%b" % (start, _encode(key), line[len(start) + 2 :])


def _not_plain(line: bytes) -> None:
    """Say of every line that it takes care."""


def land(job: Job, shard: ShardState, path: Path) -> Landing:
    """Read a results file once it is complete."""
    return _Reader(job, shard).read(path)


def landing_of(job: Job, shard: ShardState) -> Landing:
    """Return what came of *shard*; its results are read again if another process collected them."""
    found = job.landings.pop(shard.name, None)
    return found or land(job, shard, job.folder.files.local(job.folder.results_name(shard)))


def is_straight(job: Job) -> bool:
    """Return whether the records of each shard follow those of the one before, and each was asked for itself."""
    first, end = job.manifest.rounds[0], 0
    for shard in first.shards:
        if not _is_whole(shard) or shard.shard.first != end:
            return False
        end = shard.shard.last + 1
    return end == first.prepared.records


def _is_plain(job: Job, shard: ShardState) -> bool:
    """Return whether a good answer's row is known at once: it stands for one record, whose number says its place."""
    return shard.round == 1 and _is_whole(shard) and not job.manifest.rounds[0].prepared.twins


def _is_whole(shard: ShardState) -> bool:
    return shard.shard.count == shard.shard.last + 1 - shard.shard.first


def _stop(result: Result) -> str | None:
    """Return the error code of a row that nothing but more budget or another key can help."""
    return result.error_code or result.status if result.remedy in ("budget", "credential") else None
