"""A shard that can never get into the vendor's queue is asked in parts.

The parts' request files are written first; the event that puts them in the shard's place takes the name that the
shard's next intent would have. So a shard is either sent or split, and a crash before that event leaves files that the
next try writes again, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import msgspec

from airflow_provider_llmbatch.core.manifest import ShardState, stem
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.verdicts import Asked, requests_in
from airflow_provider_llmbatch.engine.window import limit_of

REFUSALS = 4
"""How often a queue of unknown size refuses a shard, with nothing of ours in it, before the shard is halved. The pauses
between take a quarter of an hour. Others may fill the queue as well; a half costs no more, and is as patient."""

Fits = Callable[[int, int], bool]
"""Whether so many requests, of so many bytes, may go together."""


@dataclass(slots=True)
class _Cut:
    """Neighbouring requests of a shard, by their records."""

    first: int
    last: int
    count: int = 0
    bytes: int = 0


def split_large(job: Job) -> None:
    """Split every shard that cannot get into the vendor's queue as it is."""
    for shard in job.manifest.rounds[-1].in_phase("ready"):
        fits = _bound(job, shard)
        if fits is not None:
            _split(job, shard, fits)


def _bound(job: Job, shard: ShardState) -> Fits | None:
    """Return what a part of *shard* may be, or ``None`` where the whole may be sent."""
    whole, limit = shard.shard, limit_of(job, shard)

    def is_within(count: int, size: int) -> bool:
        return limit is None or job.hook.load_of(msgspec.structs.replace(whole, count=count, bytes=size)) <= limit

    if whole.count == 1:
        return None
    if not is_within(whole.count, whole.bytes):
        return is_within
    if limit is None and shard.alone >= REFUSALS:
        return lambda count, size: count <= -(-whole.count // 2)
    return None


def _split(job: Job, shard: ShardState, fits: Fits) -> None:
    cuts = list(_cuts(requests_in(job, shard), fits))
    asked = requests_in(job, shard)
    parts = [_write(job, shard, cut, islice(asked, cut.count)) for cut in cuts]
    if job.record("split", shard, shards=parts):
        job.log.info("Shard %s is more than the vendor's queue takes; it is asked in %d parts.", shard.name, len(parts))


def _cuts(requests: Iterable[Asked], fits: Fits) -> Iterator[_Cut]:
    """Cut *requests* where the next one does not fit. One that does not even fit alone is a part of its own."""
    cut: _Cut | None = None
    for asked in requests:
        if cut is not None and not fits(cut.count + 1, cut.bytes + len(asked.line)):
            yield cut
            cut = None
        cut = cut or _Cut(asked.index, asked.index)
        cut.last = asked.index
        cut.count += 1
        cut.bytes += len(asked.line)
    if cut is not None:
        yield cut


def _write(job: Job, shard: ShardState, cut: _Cut, requests: Iterable[Asked]) -> Shard:
    digest = sha256()
    name = f"{cut.first}-{cut.last}"
    with (
        job.folder.files.landing(f"requests/{stem(shard.round, shard.shard.number, part=name)}.jsonl") as path,
        path.open("wb") as file,
    ):
        for asked in requests:
            file.write(asked.line)
            digest.update(asked.line)
    return msgspec.structs.replace(
        shard.shard,
        part=name,
        count=cut.count,
        bytes=cut.bytes,
        sha256=digest.hexdigest(),
        first=cut.first,
        last=cut.last,
    )
