"""Between the records and their requests of round 1: what has an answer already is not asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import ExitStack
from itertools import chain
from typing import Any

from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.core.records import Block
from airflow_provider_llmbatch.core.requests import Requests
from airflow_provider_llmbatch.core.reuse import UNKNOWN, usd_of
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.asking import Asker, Draft
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.reuse import ASKED, INDEX_AND_DIGEST, REUSED
from airflow_provider_llmbatch.storage.answers import Store
from airflow_provider_llmbatch.storage.behind import written_behind
from airflow_provider_llmbatch.storage.lookup import Located, Lookup

CHUNK = 2 << 20
"""Bytes of records that are looked up together."""

Gap = tuple[int, int]
"""Indexes of the first record that has no answer, and of the next one that has."""


class Gate:
    """Passes on what has to be asked, which is everything if the plan names no store.

    The answers to the others are copied into the job's folder: however often the job is landed again, and whatever
    became of the store by then, its rows stay the same.

    :param lost: Names of segments to leave out.
    :raises ManifestError: The store cannot be read. Nothing is asked then that may have been paid for.
    :raises LostError: By every method: somebody purged a segment meanwhile. Another gate begins anew without it.
    """

    def __init__(self, job: Job, plan: Plan, asker: Asker, lost: Set[str]) -> None:
        self._files = job.folder.files
        self._asker = asker
        self._uri = plan.reuse_uri
        since = 0.0 if plan.reuse_ttl is None else job.clock() - plan.reuse_ttl
        segments = Store(plan.reuse_uri).segments(since) if plan.reuse_uri else []
        self._lookup = Lookup([segment for segment in segments if segment.name not in lost])
        self._stack = ExitStack()
        self._rows = self._thinking = self._saved = 0
        self._is_known = True

    def __enter__(self) -> Gate:
        if self._uri is not None:
            with ExitStack() as stack:
                self._reused, self._asked = (
                    stack.enter_context(written_behind(path, syncs=self._files.syncs))
                    for path in [stack.enter_context(self._files.landing(name)) for name in (REUSED, ASKED)]
                )
                self._stack = stack.pop_all()
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
        return Reuse(
            uri=self._uri,
            rows=self._rows,
            saved_usd=money(usd_of(self._saved)) if self._is_known else None,
            thinking=self._thinking,
        )

    def _gaps(self, drafts: Sequence[Draft]) -> list[Gap]:
        """Keep the answers that there are; return which records are between them."""
        digests = list(chain.from_iterable(map(self._asker.digests, drafts)))
        first = done = drafts[0].block.first
        located = self._lookup.locate(digests)
        self._copy(first, located, digests)
        gaps: list[Gap] = []
        for _, run in located:
            gaps.append((done, first + run.first))
            done = first + run.first + run.total
        gaps = [gap for gap in [*gaps, (done, first + len(digests))] if gap[0] < gap[1]]
        for start, stop in gaps:
            entries = zip(range(start, stop), digests[start - first : stop - first], strict=True)
            self._asked.write(b"".join([INDEX_AND_DIGEST.pack(*entry) for entry in entries]))
        return gaps

    def _copy(self, first: int, located: Sequence[Located], digests: Sequence[bytes]) -> None:
        """Copy answers into the folder, and count them.

        :param first: Index of the record of the first digest.
        """
        for found in self._lookup.read(located, digests):
            self._reused.write(b"[%d,%d]\n" % (first + found.first, found.total))
            self._reused.write(found.lines)
            self._rows += found.total
            self._thinking += found.thinking
            self._saved += sum(found.costs)
            self._is_known = self._is_known and UNKNOWN not in found.costs


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
