"""Between the requests of round 1 and their shards: what has an answer already is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from itertools import islice, repeat
from typing import IO, Any

from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.core.requests import Requests
from airflow_provider_llmbatch.core.reuse import LEAST, OURS, as_ours, beside, cut, thinks
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reuse import REUSED, digesters
from airflow_provider_llmbatch.engine.writing import BUFFER, ShardFiles
from airflow_provider_llmbatch.storage.answers import (
    MOST,
    SIZE,
    SIZE_BITS,
    LostError,
    Places,
    Segment,
    Store,
    fetched,
)

CHUNK = 2 << 20
"""Bytes of requests that are looked up together."""


class Gate:
    """Takes requests as :class:`ShardFiles` does, and passes on those that have no answer yet.

    The answers of the others are copied into the job's folder: however often the job is landed again, and whatever
    became of the store by then, its rows stay the same.

    :param shards: Where requests go that have to be asked: all of them, if the plan names no store.
    :raises ManifestError: The store cannot be read. Nothing is asked then that may have been paid for.
    """

    def __init__(self, job: Job, shards: ShardFiles) -> None:
        self._job = job
        self._shards = shards
        self._uri = job.plan.reuse_uri if job.plan else None
        self._segments = self._there()
        self._digester = digesters(job)
        self._waiting: list[Requests] = []
        self._bytes = 0
        self._landing = ExitStack()
        self._file: IO[bytes] | None = None
        self._taken: dict[str, bytearray] = {}
        self._rows = self._thinking = 0
        self._paid: Counter[bytes] = Counter()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *error: Any) -> None:
        self._landing.__exit__(*error)

    def _there(self) -> list[Segment]:
        plan = self._job.plan
        if plan is None or plan.reuse_uri is None:
            return []
        since = 0.0 if plan.reuse_ttl is None else self._job.clock() - plan.reuse_ttl
        return fetched(Store(plan.reuse_uri).segments(since))

    def add_all(self, requests: Requests) -> None:
        """Take requests in, in the order of the index."""
        if not self._segments:
            self._shards.add_all(requests)
            return
        self._waiting.append(requests)
        self._bytes += len(requests.lines)
        if self._bytes >= CHUNK:
            self._flush()

    def close(self) -> Reuse | None:
        """Pass on what is left. Return what was found, or ``None`` if the plan names no store."""
        self._flush()
        self._landing.close()
        if self._uri is None:
            return None
        saved = self._saved()
        return Reuse(
            uri=self._uri,
            rows=self._rows,
            saved_usd=None if saved is None else money(saved),
            thinking=self._thinking,
        )

    def _flush(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        digests: list[bytes] = []
        for requests in waiting:
            digests += self._digester(requests.lane)(requests.lines.splitlines(keepends=True), requests.first)
        answers = self._answers(digests)
        for requests in waiting:
            found = list(islice(answers, requests.total))
            self._write(requests.first, found)
            self._pass(requests, [place for place, answer in enumerate(found) if answer is None])

    def _answers(self, digests: Sequence[bytes]) -> Iterator[bytes | None]:
        """Yield the columns of the answer to each request, or ``None``, in order."""
        done = 0
        while done < len(digests):
            rest = digests[done:]
            found = self._look_up(set(rest))
            try:
                for part in _parts(rest, found):
                    yield from map(self._read(part, found).get, part)
                    done += len(part)
            except LostError as lost:  # somebody purges the store: what was there is to be asked
                self._segments.remove(lost.segment)

    def _look_up(self, digests: set[bytes]) -> list[tuple[Segment, Places]]:
        """Return in which segments, and where in each, the answers lie."""
        places: list[tuple[Segment, Places]] = []
        for segment in self._segments:
            if digests:
                found = segment.find(digests)
                if found:
                    places.append((segment, found))
                    digests = digests - found.keys()
        return places

    def _read(self, digests: Sequence[bytes], found: Sequence[tuple[Segment, Places]]) -> dict[bytes, bytes]:
        """Return the columns of the answers to *digests*, and count them."""
        answers: dict[bytes, bytes] = {}
        wanted = set(digests)
        for segment, places in found:
            here = sorted((digest for digest in wanted if digest in places), key=places.__getitem__)
            if here:
                answers.update(zip(here, self._of(segment, {digest: places[digest] for digest in here}), strict=True))
        return answers

    def _of(self, segment: Segment, places: Places) -> list[bytes]:
        """Return the columns of the answers at *places*, and count those that no earlier record had, by their cost.

        It takes a bit for each answer of the segment: no two begin within the same ``LEAST`` bytes.
        """
        lines = segment.read(places)
        if segment.head.columns != OURS:
            lines = list(map(as_ours, lines))
        paid, columns = cut(lines)
        taken = self._taken.setdefault(segment.name, bytearray())
        numbers = [(place >> SIZE_BITS) // LEAST for place in places.values()]
        taken.extend(bytes(max(0, numbers[-1] // 8 + 1 - len(taken))))
        new = [number for number, place in enumerate(numbers) if not taken[place >> 3] >> (place & 7) & 1]
        for number in new:
            taken[numbers[number] >> 3] |= 1 << (numbers[number] & 7)
        self._paid.update([paid[number] for number in new])
        self._thinking += sum(thinks(columns[number]) for number in new)
        return columns

    def _saved(self) -> Decimal | None:
        """Return what the answers cost once, or ``None`` if that is not known of one of them."""
        if self._paid[b"null"]:
            return None
        return sum((Decimal(paid[1:-1].decode()) * count for paid, count in self._paid.items() if count), Decimal(0))

    def _write(self, first: int, answers: Sequence[bytes | None]) -> None:
        """Write the answers down beside their records, the first of which is record *first*."""
        is_keyed = self._job.spec.key is not None
        lines = [
            beside(index, answer, is_keyed=is_keyed)
            for index, answer in enumerate(answers, first)
            if answer is not None
        ]
        if lines and self._file is None:
            path = self._landing.enter_context(self._job.folder.files.landing(REUSED))
            self._file = self._landing.enter_context(path.open("wb", buffering=BUFFER))
        if self._file is not None:
            self._file.write(b"".join(lines))
            self._rows += len(lines)

    def _pass(self, requests: Requests, missed: Sequence[int]) -> None:
        """Let those at the places *missed* through."""
        if len(missed) == requests.total:
            self._shards.add_all(requests)
            return
        lines = requests.lines.splitlines(keepends=True) if missed else []
        for places in _neighbours(missed):
            some = b"".join(lines[places[0] : places[-1] + 1])
            first = requests.first + places[0]
            self._shards.add_all(requests._replace(first=first, total=len(places), lines=some))


def _parts(digests: Sequence[bytes], found: Sequence[tuple[Segment, Places]]) -> Iterator[Sequence[bytes]]:
    """Cut *digests* so that the answers to each part are read at once."""
    sizes = {digest: place & SIZE for _, places in found for digest, place in places.items()}
    first = size = 0
    for position, more in enumerate(map(sizes.get, digests, repeat(0))):
        if size + more > MOST and position > first:
            yield digests[first:position]
            first, size = position, 0
        size += more
    yield digests[first:]


def _neighbours(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Put those together that follow each other."""
    first = 0
    for position in range(1, len(places) + 1):
        if position == len(places) or places[position] > places[position - 1] + 1:
            yield places[first:position]
            first = position
