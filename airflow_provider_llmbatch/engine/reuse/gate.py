"""Between the records and their requests of round 1: what has an answer already is not asked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from typing import IO, Any

from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.core.records import Block
from airflow_provider_llmbatch.core.requests import Requests
from airflow_provider_llmbatch.core.reuse import paid, thinking
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.asking import Asker, Draft
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.reuse import ASKED, INDEX_AND_DIGEST, REUSED
from airflow_provider_llmbatch.storage.answers import Store
from airflow_provider_llmbatch.storage.behind import written_behind
from airflow_provider_llmbatch.storage.lookup import Lookup

CHUNK = 2 << 20
"""Bytes of records that are looked up together."""

Gap = tuple[int, int]
"""Indexes of the first record that has no answer, and of the next one that has."""


class Gate:
    """Passes on what has to be asked, which is everything if the plan names no store.

    The answers to the others are copied into the job's folder: however often the job is landed again, and whatever
    became of the store by then, its rows stay the same.

    :raises ManifestError: The store cannot be read. Nothing is asked then that may have been paid for.
    """

    def __init__(self, job: Job, plan: Plan, asker: Asker) -> None:
        self._files = job.folder.files
        self._asker = asker
        self._uri = plan.reuse_uri
        since = 0.0 if plan.reuse_ttl is None else job.clock() - plan.reuse_ttl
        self._lookup = Lookup(Store(plan.reuse_uri).segments(since) if plan.reuse_uri else [])
        self._stack = ExitStack()
        self._open: dict[str, IO[bytes]] = {}
        self._rows = self._thinking = 0
        self._paid: Counter[bytes] = Counter()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def asked(self, blocks: Iterable[Block]) -> Iterator[Requests]:
        """Yield the requests of those records that have no answer yet, in order.

        :raises InputError: The template, or the vendor, does not take one of them; it names the record's index.
        """
        drafts = (draft for block in blocks for draft in self._asker.drafts(block))
        if self._uri is None:
            for draft in drafts:
                yield from self._asker.ask(draft)
            return
        for several in _gathered(drafts):
            for part in _cut(several, deque(self._gaps(several))):
                yield from self._asker.ask(part)

    def close(self) -> Reuse | None:
        """Let the files appear. Return what was found, or ``None`` if the plan names no store."""
        self._stack.close()
        if self._uri is None:
            return None
        saved = self._saved()
        return Reuse(
            uri=self._uri,
            rows=self._rows,
            saved_usd=None if saved is None else money(saved),
            thinking=self._thinking,
        )

    def _gaps(self, drafts: Sequence[Draft]) -> list[Gap]:
        """Keep the answers that there are; return which records are between them."""
        digests = [digest for draft in drafts for digest in self._asker.digests(draft)]
        first = done = drafts[0].block.first
        gaps: list[Gap] = []
        for found in self._lookup.find(digests):
            start = first + found.first
            self._write(REUSED, b"[%d,%d]\n%b" % (start, found.total, found.lines))
            self._rows += found.total
            self._thinking += thinking(found.total, found.lines)
            self._paid.update(paid(found.new))
            gaps.append((done, start))
            done = start + found.total
        gaps = [gap for gap in [*gaps, (done, first + len(digests))] if gap[0] < gap[1]]
        for start, stop in gaps:
            entries = zip(range(start, stop), digests[start - first : stop - first], strict=True)
            self._write(ASKED, b"".join([INDEX_AND_DIGEST.pack(*entry) for entry in entries]))
        return gaps

    def _write(self, name: str, data: bytes) -> None:
        if name not in self._open:
            path = self._stack.enter_context(self._files.landing(name))
            self._open[name] = self._stack.enter_context(written_behind(path))
        self._open[name].write(data)

    def _saved(self) -> Decimal | None:
        """Return what the answers cost once, or ``None`` if that is not known of one of them."""
        if b"null" in self._paid:
            return None
        return sum((Decimal(usd[1:-1].decode()) * count for usd, count in self._paid.items()), Decimal(0))


def _gathered(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    """Put as many together as are looked up at once."""
    several: list[Draft] = []
    size = 0
    for draft in drafts:
        several.append(draft)
        size += draft.size
        if size >= CHUNK:
            yield several
            several, size = [], 0
    if several:
        yield several


def _cut(drafts: Iterable[Draft], gaps: deque[Gap]) -> Iterator[Draft]:
    """Yield what the records in *gaps* ask."""
    for draft in drafts:
        begin, end = draft.block.first, draft.block.first + draft.total
        while gaps and gaps[0][0] < end:
            start, stop = gaps[0]
            yield draft.part(max(start, begin) - begin, min(stop, end) - begin)
            if stop > end:
                break
            gaps.popleft()
