"""What is asked again, and how: the same question, a changed one, or another model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.core.repairs import RowError
from airflow_provider_llmbatch.core.requests import SAME, Change, Composer, Request, custom_id
from airflow_provider_llmbatch.core.results import INVALID_OUTPUT, TRUNCATED, Result
from airflow_provider_llmbatch.core.rows import Answer, best
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.verdicts import Asked, records_of
from airflow_provider_llmbatch.exceptions import InputError, VendorError

FREE_STATUSES = ("expired", "cancelled")
"""Verdicts of a request that never reached the model: they use up no round."""
FREE_REMEDIES = ("budget", "credential")
"""What stopped the whole account, and not this request: it uses up no round either."""
FREE_ROUNDS = 5
"""How often a record is asked again at most because it never reached the model."""


class Again:
    """Decides, record by record in the order of the index, what the next round asks.

    :param number: The round to be asked.
    """

    def __init__(self, job: Job, number: int) -> None:
        self._job = job
        self._number = number
        self._base = job.manifest.base
        self._largest: dict[str, int | None] = {}
        self._records: Iterator[Record] | None = None
        self._compose = Composer(job.question, job.context) if job.question else None

    def request(self, answers: Sequence[Answer], asked: Asked) -> Request | None:
        """Return what to ask next of the record that was last *asked* this, or ``None``: nothing.

        :param answers: Its answers so far, in the order of their rounds.
        """
        if best(answers).result.status == "succeeded":
            return None
        counted = [answer for answer in answers if answer.round >= self._base]
        used = sum(not _was_free(answer.result) for answer in counted)
        left = self._job.terms.max_rounds - used
        if left <= 0 or len(counted) >= self._job.terms.max_rounds + FREE_ROUNDS:
            return None
        own = self._own(answers[-1], asked)
        if own is None and self._base > 1 and not counted:  # somebody asked for it by hand
            own = self._revised(asked, SAME)
        was_tried = any(not _was_free(answer.result) for answer in answers)
        return self._other_model(own, asked) if own is None or (left == 1 and was_tried) else own

    def _own(self, answer: Answer, asked: Asked) -> Request | None:
        """Return the question to the same model, as it was or changed; ``None``: none would help."""
        result = answer.result
        if result.remedy == "retry" or _was_free(result):
            return self._revised(asked, SAME)
        if result.error_code == TRUNCATED:
            change = self._wider(asked)
        elif result.error_code == INVALID_OUTPUT:
            change = _corrected(result)
        else:
            change = None
        return self._revised(asked, change) if change else self._repaired(answer, asked)

    def _other_model(self, own: Request | None, asked: Asked) -> Request | None:
        """Turn to the fallback model in the last round, or as soon as the first one can do no more."""
        fallback = self._job.terms.fallback_model
        line = own.line if own else asked.line
        if fallback is None or self._job.hook.model_of(line) == fallback:
            return own
        return self._job.hook.revise(self._name(asked), line, Change(model=fallback), own.lane if own else asked.lane)

    def _wider(self, asked: Asked) -> Change | None:
        """Double the bound of the answer, up to what the model can do."""
        cap = self._job.hook.cap_of(asked.line)
        if cap is None:
            return None
        largest = self._largest_answer(self._job.hook.model_of(asked.line))
        wider = 2 * cap if largest is None else min(2 * cap, largest)
        return Change(max_tokens=wider) if wider > cap else None

    def _largest_answer(self, model: str) -> int | None:
        if model not in self._largest:
            try:
                self._largest[model] = self._job.hook.run(self._job.hook.largest_answer(model))
            except VendorError:
                self._largest[model] = None
        return self._largest[model]

    def _repaired(self, answer: Answer, asked: Asked) -> Request | None:
        """Ask what the user's own ``repair`` makes of the record."""
        repair = self._job.terms.repair
        if repair is None or self._compose is None:
            return None
        record = self._record(asked.index)
        result = answer.result
        error = RowError(
            code=result.error_code or result.status,
            message=result.error_message or "",
            status=result.status,
            output=result.output,
            round=answer.round,
        )
        try:
            fields = repair(dict(record.fields), error)
        except Exception as problem:  # the user's own code; its text may quote the record
            raise InputError(
                f"repair failed with {type(problem).__name__} at record {asked.index} (error {error.code!r}). Nothing "
                f"of round {self._number} was sent; what was collected is kept in {self._job.folder.uri!r}.",
                index=asked.index,
            ) from None
        if fields is None or fields == record.fields:
            return None
        if not isinstance(fields, Mapping):
            raise InputError(
                f"repair must return a mapping or None; at record {asked.index} it returned a "
                f"{type(fields).__name__}. Nothing of round {self._number} was sent.",
                index=asked.index,
            )
        ask = self._compose(Record(record.index, record.key, dict(fields)))
        return self._job.hook.encode(self._name(asked), ask, self._job.spec.endpoint)

    def _record(self, index: int) -> Record:
        self._records = self._records or records_of(self._job)
        return next(record for record in self._records if record.index == index)

    def _revised(self, asked: Asked, change: Change) -> Request:
        return self._job.hook.revise(self._name(asked), asked.line, change, asked.lane)

    def _name(self, asked: Asked) -> str:
        return custom_id(self._job.spec.job_id, self._number, asked.index)


def _was_free(result: Result) -> bool:
    return result.status in FREE_STATUSES or result.remedy in FREE_REMEDIES


def _corrected(result: Result) -> Change:
    """Show the model what is wrong with its answer."""
    said: list[Mapping[str, Any]] = [{"role": "assistant", "content": result.output}] if result.output else []
    asked = f"Your answer is not what was asked for: {result.error_message} Answer again, with nothing but the answer."
    return Change(turns=[*said, {"role": "user", "content": asked}])
