"""The rows of a plain job, many at once: one round, each shard's records side by side, no request shared by several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice, repeat
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch.core.manifest import ShardState
from airflow_provider_llmbatch.core.requests import custom_id
from airflow_provider_llmbatch.core.results import Result, Usage
from airflow_provider_llmbatch.core.rows import COLUMNS, Answer, Row, money
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.verdicts import record_lines, result_runs
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.tables.lines import joined

_Ours = msgspec.defstruct("_Ours", COLUMNS, gc=False)
_fields = msgspec.json.Decoder(dict[str, Any]).decode
_encode_lines = msgspec.json.Encoder().encode_lines


class Run(NamedTuple):
    """Some neighbouring rows of one shard.

    :ivar first: Index of the first record.
    :ivar own: The records, as lines of JSON.
    :ivar name: What the custom ids begin with.
    """

    first: int
    keys: Sequence[str]
    own: Sequence[bytes]
    results: Sequence[Result]
    shard: ShardState
    name: str

    def as_lines(self, usages: Sequence[Usage], costs: Sequence[Decimal | None]) -> bytes:
        """Return the rows as lines of JSON: the same bytes as :meth:`Row.as_columns` leads to."""
        count = len(self.results)
        columns = (
            range(self.first, self.first + count),
            self.keys,
            *(
                map(attrgetter(name), self.results)
                for name in ("status", "output", "error_code", "error_message", "finish_reason", "model")
            ),
            repeat(self.shard.round, count),
            repeat(self.shard.batch_id, count),
            map(self.name.__add__, map(str, range(self.first, self.first + count))),
            *(map(attrgetter(name), usages) for name in ("input", "cached_input", "output")),
            [None if cost is None else money(cost) for cost in costs],
        )
        ours = _encode_lines(list(map(_Ours, *columns))).splitlines(keepends=True)
        return b"".join(map(joined, self.own, ours))

    def bad_rows(self, costs: Sequence[Decimal | None]) -> Iterator[Row]:
        """Yield the rows that are not good."""
        if all(map("succeeded".__eq__, map(attrgetter("status"), self.results))):
            return
        for place, result in enumerate(self.results):
            if result.status != "succeeded":
                index = self.first + place
                answer = Answer(result, self.shard.round, self.shard.batch_id, f"{self.name}{index}")
                yield Row(index, self.keys[place], self.own[place], answer, result.usage, costs[place], [answer])


def is_straight(job: Job) -> bool:
    """Return whether the records of each shard follow those of the one before, and each has one answer of its own."""
    first, *later = job.manifest.rounds
    end = 0
    for shard in first.shards:
        if shard.shard.first != end or shard.shard.count != shard.shard.last + 1 - end:
            return False
        end = shard.shard.last + 1
    return not later and end == first.prepared.records


def runs_of(job: Job) -> Iterator[Run]:
    """Yield all rows of such a job, in order."""
    records, key = record_lines(job), job.spec.key
    for shard in job.manifest.rounds[0].shards:
        first = shard.shard.first
        for results in result_runs(job, shard):
            own = list(islice(records, len(results)))
            if len(own) < len(results):
                raise ManifestError(f"the records of {job.folder.uri!r} end before its results.")
            indexes = range(first, first + len(own))
            keys = list(map(str, indexes if key is None else (_fields(line)[key] for line in own)))
            yield Run(first, keys, own, results, shard, custom_id(job.spec.job_id, shard.round, ""))
            first += len(own)
