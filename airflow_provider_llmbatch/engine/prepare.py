"""From records to shards: everything is written and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import msgspec

from airflow_provider_llmbatch.core.manifest import stem
from airflow_provider_llmbatch.core.records import Record, number
from airflow_provider_llmbatch.core.requests import SAME, Request, composer, custom_id
from airflow_provider_llmbatch.core.rows import Answer, best
from airflow_provider_llmbatch.core.shards import Cutter, Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.verdicts import Asked, all_answers, requests_of
from airflow_provider_llmbatch.exceptions import ManifestError, SourceError
from airflow_provider_llmbatch.storage.layout import JobFolder

BUFFER = 1 << 20
UNASKED = ("expired", "cancelled")
"""Verdicts of a request that never reached the model."""
FREE_ROUNDS = 5
"""How often a record is asked again at most because it never reached the model."""


def prepare_first(job: Job) -> None:
    """Read the source once and write the records and requests of round 1.

    A crash here costs nothing: nothing was sent, and the next try writes the same files again.

    :raises InputError: Something in the source, the templates or a request is not as it must be.
    """
    if job.plan is None:
        raise ManifestError(
            f"job {job.folder.uri!r} was begun and its requests were never completed. Nothing was sent. Retry the task "
            "that asks; this one only goes on with what that one prepared."
        )
    compose = composer(job.plan.question, job.plan.context)
    columns: dict[str, None] = {}
    with _Shards(job, 1) as shards:
        for record in number(job.plan.source.rows(), key=job.plan.key):
            ask = compose(record)
            request = job.hook.encode(custom_id(job.spec.job_id, 1, record.index), ask, job.spec.endpoint)
            shards.add(request, record.index, record)
            if not record.fields.keys() <= columns.keys():
                columns |= dict.fromkeys(record.fields)
        made = shards.close()
    if not made:
        raise SourceError(f"source {job.plan.source!r} holds no records. Nothing was sent.")
    job.record("prepared", round_=1, shards=made, columns=list(columns))
    _announce(job, 1, made)


def prepare_next(job: Job) -> bool:
    """Write the requests of another round: those that the same question may still answer.

    :return: Whether there is another round to ask.
    """
    latest = job.manifest.rounds[-1]
    tallies = [shard.tally for shard in latest.shards if shard.tally]
    unasked = sum(tally.statuses.get(status, 0) for tally in tallies for status in UNASKED)
    if not any(tally.retry for tally in tallies) or (latest.number >= job.terms.max_rounds and not unasked):
        return False
    following = latest.number + 1
    with _Shards(job, following) as shards:
        for asked in _to_ask_again(job):
            request = job.hook.revise(custom_id(job.spec.job_id, following, asked.index), asked.line, SAME)
            shards.add(request, asked.index)
        made = shards.close()
    if not made:
        return False
    job.record("prepared", round_=following, shards=made, columns=latest.columns)
    _announce(job, following, made)
    return True


def _to_ask_again(job: Job) -> Iterator[Asked]:
    """Walk verdicts and requests side by side, both in the order of the index."""
    requests = requests_of(job, job.manifest.rounds[0])
    for (index, answers), asked in zip(all_answers(job), requests, strict=True):
        if asked.index != index:
            raise ManifestError(f"the requests of {job.folder.uri!r} do not match its records at index {index}.")
        if _may_be_asked_again(answers, job.terms.max_rounds):
            yield asked


def _may_be_asked_again(answers: Sequence[Answer], max_rounds: int) -> bool:
    """Return whether the same question may still be answered. Expiry and cancellation do not use up a round."""
    result = best(answers).result
    used = sum(answer.result.status not in UNASKED for answer in answers)
    return (
        result.status != "succeeded"
        and result.remedy == "retry"
        and used < max_rounds
        and len(answers) < max_rounds + FREE_ROUNDS
    )


def _announce(job: Job, round_: int, shards: list[Shard]) -> None:
    job.log.info(
        "Round %d: %s requests in %d shards, %s bytes, prepared in %s",
        round_,
        f"{sum(shard.count for shard in shards):,}",
        len(shards),
        f"{sum(shard.bytes for shard in shards):,}",
        job.folder.uri,
    )


class _Shards:
    """The shard files of one round, written as a stream; none of them appears before it is whole."""

    def __init__(self, job: Job, round_: int) -> None:
        self._job = job
        self._round = round_
        self._cutter = Cutter(job.hook.limits)
        self._open: dict[int, _ShardFile] = {}
        self._done: list[Shard] = []

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *error: Any) -> None:
        for shard in self._open.values():
            shard.abandon()

    def add(self, request: Request, index: int, record: Record | None = None) -> None:
        """Put one request (and in round 1 its record) into its shard."""
        place = self._cutter.place(request, index)
        shard = self._open.get(place)
        if shard is None:
            self._finish(number for number in list(self._open) if self._cutter.is_full(number))
            shard = self._open[place] = _ShardFile(self._job, self._round, place, request.lane, index)
        shard.add(request.line, index, record)

    def close(self) -> list[Shard]:
        """Complete every file and return the shards in order."""
        self._finish(list(self._open))
        return sorted(self._done, key=lambda shard: shard.number)

    def _finish(self, numbers: Iterable[int]) -> None:
        for place in numbers:
            self._done.append(self._open.pop(place).finish())


class _ShardFile:
    """One shard being written: its requests and, in round 1, its records."""

    def __init__(self, job: Job, round_: int, place: int, lane: str, first: int) -> None:
        self._place, self._lane = place, lane
        self._first = self._last = first
        self._count = self._bytes = 0
        self._digest = sha256()
        self._encode = msgspec.json.Encoder().encode
        self._stack = ExitStack()
        folder = job.folder.files
        self._requests = self._file(folder.landing(f"requests/{stem(round_, place)}.jsonl"))
        self._records = self._file(folder.landing(JobFolder.records_name(place))) if round_ == 1 else None

    def _file(self, landing: Any) -> IO[bytes]:
        path: Path = self._stack.enter_context(landing)
        return self._stack.enter_context(path.open("wb", buffering=BUFFER))

    def add(self, line: bytes, index: int, record: Record | None) -> None:
        self._requests.write(line)
        self._digest.update(line)
        self._count += 1
        self._bytes += len(line)
        self._last = index
        if self._records is not None:
            self._records.write(self._encode(record) + b"\n")

    def finish(self) -> Shard:
        self._stack.close()
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
        self._stack.__exit__(_Abandoned, _Abandoned(), None)


class _Abandoned(Exception):
    """Tells a landing that its file is not to appear."""
