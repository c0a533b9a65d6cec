"""One shard's results on their way to rows: each line is read once, in whatever order they come, and counted.

Most answers are good the first time they are asked for. All of their row but the record itself is known at once, so
it is priced and written right here, to the worker's own disk, where it waits for its turn. That only saves time:
whoever does not find it reads the results again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from airflow_provider_llmbatch.core.manifest import ShardState, Tally
from airflow_provider_llmbatch.core.requests import custom_id
from airflow_provider_llmbatch.core.results import STATUSES, Result, total_usage
from airflow_provider_llmbatch.core.rows import Answer, Totals, ours
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import read_named
from airflow_provider_llmbatch.engine.till import Till
from airflow_provider_llmbatch.engine.verdicts import BUFFER, absent_of, position_in

RUN = 500
"""Good answers that are priced at once."""
MOST = 64 << 20
"""Bytes of one shard's rows that are in memory at once, to be put in order."""
GOOD = 1
"""The number of the first verdict, which is the good one; 0: there is none yet."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Result).decode


class Shelf:
    """Lines that come in one order and are wanted in another: sorted in memory, and kept on the worker's own disk.

    What does not fit in memory at once becomes several files, each with a line for each position, mostly empty ones.
    """

    def __init__(self, count: int) -> None:
        self._lines = [b""] * count
        self._size = 0
        self._folder = TemporaryDirectory(prefix="llmbatch-")
        self._files: list[Path] = []

    def put(self, positions: Iterable[int], lines: Iterable[bytes]) -> None:
        """Take some lines in; a second one for a position counts instead of the first."""
        for position, line in zip(positions, lines, strict=True):
            self._lines[position] = line
            self._size += len(line)
        if self._size > MOST:
            self._spill()

    def _spill(self) -> None:
        path = Path(self._folder.name) / str(len(self._files))
        with path.open("wb", buffering=BUFFER) as file:
            for start in range(0, len(self._lines), RUN):
                file.write(b"\n".join(self._lines[start : start + RUN]) + b"\n")
        self._files.append(path)
        self._lines, self._size = [b""] * len(self._lines), 0

    def close(self) -> None:
        """Take no more lines in, and leave the memory to others."""
        self._spill()
        self._lines = []

    def lines(self) -> Iterator[bytes]:
        """Return the lines in the order of the positions, each with its end, and an empty one where none came."""
        last, *earlier = reversed(self._files)
        if not earlier:
            return _lines(last)
        found = zip(_lines(last), *map(_lines, earlier), strict=True)
        return (next((line for line in lines if line != b"\n"), b"\n") for lines in found)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=BUFFER) as file:
        yield from file


class Landing:
    """What came of one shard. Of two lines for one request the good one counts, else the first.

    :ivar totals: What the good answers come to that are rows already.
    :ivar till: What those cost.
    """

    def __init__(self, job: Job, shard: ShardState) -> None:
        self.totals = Totals()
        self.till = Till(job)
        self._job = job
        self._shard = shard
        self._absent = absent_of(job, shard)
        self._makes_rows = _is_plain(job, shard)
        self._shelf = Shelf(shard.shard.count)
        self._verdicts = bytearray(shard.shard.count)
        self._others: dict[int, tuple[str | None, bool, bool]] = {}
        self._damaged = self._duplicated = self._foreign = 0

    def read(self, path: Path) -> Tally:
        """Read a results file once it is complete; every request of the shard has exactly one verdict."""
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
        return self._tally()

    def _make_rows(self, good: list[tuple[int, str, Result]]) -> None:
        """Price good answers and make the rows, if they are known without the records."""
        if not (good and self._makes_rows):
            return
        positions, names, results = zip(*good, strict=True)
        usages = [result.usage for result in results]
        total = total_usage(usages)
        costs = self.till.take_all(results, usages, total)
        self.totals.add_good(len(results), total, costs)
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

    def _tally(self) -> Tally:
        missing = self._verdicts.count(0)
        statuses = {status: self._verdicts.count(code) for code, status in enumerate(STATUSES, GOOD)}
        statuses[self._absent.status] += missing
        stops = Counter(stop for stop, _, _ in self._others.values()) + Counter({_stop(self._absent): missing})
        return Tally(
            statuses={status: number for status, number in statuses.items() if number},
            stops={code: number for code, number in stops.items() if code},
            thinking=sum(thinks for _, thinks, _ in self._others.values()),
            damaged=self._damaged,
            duplicated=self._duplicated,
            foreign=self._foreign,
            full_price=sum(is_full for _, _, is_full in self._others.values()) or msgspec.UNSET,
        )

    def rows(self) -> Iterator[bytes]:
        """Yield, for each request in order, our columns of its row as JSON, or else what :meth:`answer` takes.

        Where the job has a key, :func:`with_key` puts it in.
        """
        return self._shelf.lines()

    def answer(self, index: int, line: bytes) -> Answer:
        """Return the answer that waits for more than one look."""
        result = self._absent if line == b"\n" else _decode(line)
        name = custom_id(self._job.spec.job_id, self._shard.round, index)
        return Answer(result, self._shard.round, self._shard.batch_id, name)


def with_key(line: bytes, index: int, key: str) -> bytes:
    """Put the record's key into a row that was made without the record."""
    start = b'{"llm_index":%d,"llm_key":' % index
    return b"%b%b%b" % (start, _encode(key), line[len(start) + 2 :])


def _not_plain(line: bytes) -> None:
    """Say of every line that it takes care."""


def land(job: Job, shard: ShardState, path: Path) -> Tally:
    """Read a results file once it is complete, and count it."""
    landing = job.landings[shard.name] = Landing(job, shard)
    return landing.read(path)


def landing_of(job: Job, shard: ShardState) -> Landing:
    """Return what came of *shard*; its results are read again if another process collected them."""
    if shard.name not in job.landings:
        land(job, shard, job.folder.files.local(job.folder.results_name(shard)))
    return job.landings.pop(shard.name)


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
