"""From records to their requests of round 1, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from airflow_provider_llmbatch.core.records import BLOCK_BYTES, Block, Record
from airflow_provider_llmbatch.core.requests import Ask, Composer, Request, Requests, custom_id
from airflow_provider_llmbatch.core.reuse import digest_of, digest_of_line, digests_of_texts
from airflow_provider_llmbatch.core.stencil import stencil_of
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.twins import Repeats
from airflow_provider_llmbatch.exceptions import InputError


class Draft(NamedTuple):
    """What some records ask.

    :ivar texts: As :meth:`Composer.texts` returns them, where requests differ in nothing else: none is made so far.
    :ivar made: Otherwise the request, which is that of a single record.
    """

    block: Block
    texts: Sequence[Sequence[str]] = ()
    made: Requests | None = None

    @property
    def total(self) -> int:
        """How many records there are."""
        return len(self.block.rows)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.made.lines) if self.made else BLOCK_BYTES

    def part(self, start: int, stop: int) -> Draft:
        """Return what the records from position *start* up to *stop* ask."""
        if stop - start == self.total:
            return self
        return Draft(self.block.part(start, stop), [column[start:stop] for column in self.texts])


class Asker:
    """Makes requests; it is quick where they differ in nothing but their texts.

    :ivar alike: Hashes of what each request asks, if the plan is to ask the same but once.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        self._job = job
        self._compose = Composer(plan.question, job.context)
        self._stencil = stencil_of(self._compose, self._encode, custom_id(job.spec.job_id, 1, ""))
        self._notes = plan.dedupe
        output = plan.question.output
        facts = job.hook.vendor, job.hook.settings.base_url, output.schema if output else None
        self._shared = digest_of(*facts, self._stencil.shared) if self._stencil else b""
        self._of_lane = cache(partial(digest_of, *facts))
        self.alike = Repeats()

    def drafts(self, block: Block) -> Iterator[Draft]:
        """Yield what all records of *block* ask, in order.

        :raises InputError: The template, or the vendor, does not take one of them; it names the record's index.
        """
        if self._stencil:
            yield Draft(block, self._compose.texts(block))
            return
        for position, record in enumerate(block.records()):  # one by one: a record may bring a file along
            yield Draft(block.part(position, position + 1), made=self._in_full(record))

    def digests(self, draft: Draft) -> list[bytes]:
        """Return what names the answer to each. A record's place, its key and the job's id do not count.

        An emulator's answers are never a vendor's: an address that is not the vendor's own counts. So does what a
        lane names and a request does not, as are a vendor's betas.
        """
        if draft.made is None:
            return digests_of_texts(self._shared, draft.texts)
        return [digest_of_line(self._of_lane(draft.made.lane), draft.made.lines, self._name(draft.made.first))]

    def ask(self, draft: Draft) -> Iterator[Requests]:
        """Yield the requests, in order.

        :raises InputError: The vendor does not take one of them; it names the record's index.
        """
        texts, made = draft.texts, draft.made
        if made is not None:
            if self._notes:
                self.alike.note([hash(made.lines.replace(self._name(made.first).encode(), b"", 1))])
            yield made
            return
        if self._notes:
            self.alike.note(map(hash, texts[0] if len(texts) == 1 else zip(*texts, strict=True)))
        yield from self._by_stencil(draft)

    def _by_stencil(self, draft: Draft) -> Iterator[Requests]:
        requests = self._stencil.write(draft.block.first, draft.texts) if self._stencil else None
        if requests is not None:
            yield requests
        elif draft.total == 1:
            yield from map(self._in_full, draft.block.records())
        else:  # narrow it down to the records that need it
            middle = draft.total // 2
            yield from self._by_stencil(draft.part(0, middle))
            yield from self._by_stencil(draft.part(middle, draft.total))

    def _in_full(self, record: Record) -> Requests:
        try:
            request = self._encode(self._name(record.index), self._compose(record))
        except InputError as error:
            if "index" in error.context:
                raise
            raise type(error)(f"record {record.index} (key {record.key!r}): {error}", index=record.index) from None
        return Requests(record.index, 1, *request)

    def _name(self, index: int) -> str:
        return custom_id(self._job.spec.job_id, 1, index)

    def _encode(self, name: str, ask: Ask) -> Request:
        return self._job.hook.encode(name, ask, self._job.spec.endpoint)
