"""From records to their requests of round 1, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_provider_llmbatch.core.records import Block, Record
from airflow_provider_llmbatch.core.requests import Ask, Composer, Request, Requests, custom_id
from airflow_provider_llmbatch.core.stencil import stencil_of
from airflow_provider_llmbatch.engine.job import Job, Plan
from airflow_provider_llmbatch.engine.twins import Repeats
from airflow_provider_llmbatch.exceptions import InputError


class Asker:
    """Makes requests; it is quick where they differ in nothing but their texts.

    :ivar alike: Hashes of what each request asks, if the plan is to ask the same but once.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        self._job = job
        self._compose = Composer(plan.question, job.context)
        self._stencil = stencil_of(self._compose, self._encode, custom_id(job.spec.job_id, 1, ""))
        self._notes = plan.dedupe
        self.alike = Repeats()

    def ask(self, block: Block) -> Iterator[Requests]:
        """Yield the requests of all records of *block*, in order.

        :raises InputError: The template, or the vendor, does not take one of them; it names the record's index.
        """
        if self._stencil is None:
            for record in block.records():
                request = self._in_full(record)
                if self._notes:
                    self.alike.note([hash(request.line.replace(self._name(record).encode(), b"", 1))])
                yield Requests(record.index, 1, *request)
            return
        texts = self._compose.texts(block)
        if self._notes:
            self.alike.note(map(hash, texts[0] if len(texts) == 1 else zip(*texts, strict=True)))
        yield from self._by_stencil(block, texts)

    def _by_stencil(self, block: Block, texts: list[Sequence[str]]) -> Iterator[Requests]:
        requests = self._stencil.write(block.first, texts) if self._stencil else None
        if requests is not None:
            yield requests
        elif len(block.rows) == 1:
            yield from (Requests(record.index, 1, *self._in_full(record)) for record in block.records())
        else:  # narrow it down to the records that need it
            middle = len(block.rows) // 2
            first, second = block.halves()
            yield from self._by_stencil(first, [column[:middle] for column in texts])
            yield from self._by_stencil(second, [column[middle:] for column in texts])

    def _in_full(self, record: Record) -> Request:
        try:
            return self._encode(self._name(record), self._compose(record))
        except InputError as error:
            if "index" in error.context:
                raise
            raise type(error)(f"record {record.index} (key {record.key!r}): {error}", index=record.index) from None

    def _name(self, record: Record) -> str:
        return custom_id(self._job.spec.job_id, 1, record.index)

    def _encode(self, name: str, ask: Ask) -> Request:
        return self._job.hook.encode(name, ask, self._job.spec.endpoint)
