"""One verdict per record, in the columns that every output has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.results import NO_USAGE, STATUSES, Result, Usage


class Ours(msgspec.Struct, gc=False):
    """Our columns of one row, in their order; they follow the record's own."""

    llm_index: int
    llm_key: str
    llm_status: str
    llm_output: Any
    llm_error_code: str | None
    llm_error_message: str | None
    llm_finish_reason: str | None
    llm_model: str | None
    llm_round: int
    llm_batch_id: str | None
    llm_custom_id: str
    llm_input_tokens: int
    llm_cached_input_tokens: int
    llm_output_tokens: int
    llm_cost_usd: str | None


COLUMNS = Ours.__struct_fields__
THINKING = "llm_thinking"
"""A further column, where any answer of a job shows the model's reasoning."""
ATTEMPTS = "llm_attempts"
"""A further column of the failed rows: every answer that the record had."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The result of one round for one record, and where it came from."""

    result: Result
    round: int
    batch_id: str | None
    custom_id: str

    def in_short(self) -> dict[str, Any]:
        """Return what came of it, for the list of attempts."""
        result = self.result
        return {
            "round": self.round,
            "batch_id": self.batch_id,
            "custom_id": self.custom_id,
            "status": result.status,
            "error_code": result.error_code,
            "error_message": result.error_message,
            "finish_reason": result.finish_reason,
            "output": result.output,
        }


class Row(msgspec.Struct, frozen=True, gc=False):
    """A record's verdict: its best answer, and what all its answers took.

    :ivar own: The record itself, as a line of JSON.
    :ivar usage: Tokens of every round of this record; the cost is the price of these.
    :ivar cost: US dollars, or ``None`` where no price is known. Unknown is never zero.
    :ivar attempts: All answers, in the order of their rounds.
    """

    index: int
    key: str
    own: bytes
    answer: Answer
    usage: Usage
    cost: Decimal | None
    attempts: Sequence[Answer] = ()

    def as_columns(self, thinks: bool = False) -> dict[str, Any]:
        """Return our columns; they follow the record's own.

        :param thinks: Whether any answer shows the model's reasoning.
        """
        answer = self.answer
        columns = msgspec.structs.asdict(
            ours(
                self.index,
                self.key,
                answer.result,
                answer.round,
                answer.batch_id,
                answer.custom_id,
                self.usage,
                self.cost,
            )
        )
        return columns | {THINKING: answer.result.thinking} if thinks else columns


def ours(
    index: int,
    key: str,
    result: Result,
    round_: int,
    batch_id: str | None,
    custom_id: str,
    usage: Usage,
    cost: Decimal | None,
) -> Ours:
    """Return our columns of one row; *usage* and *cost* are those of all answers to the record."""
    return Ours(
        index,
        key,
        result.status,
        result.output,
        result.error_code,
        result.error_message,
        result.finish_reason,
        result.model,
        round_,
        batch_id,
        custom_id,
        usage.input,
        usage.cached_input,
        usage.output,
        None if cost is None else money(cost),
    )


_WORTH = {"succeeded": 3, "invalid": 2, "errored": 1}


def best(answers: Sequence[Answer]) -> Answer:
    """Return the answer that counts: a good one if there is any, else the latest of the most telling kind.

    A paid answer is never thrown away: a later round that ends worse does not replace it.

    :param answers: At least one, in the order of their rounds.
    """
    return max(answers, key=lambda answer: (_WORTH.get(answer.result.status, 0), answer.round))


def usage_of(answers: Sequence[Answer]) -> Usage:
    """Add up what all *answers* took."""
    return sum((answer.result.usage for answer in answers), NO_USAGE)


def money(amount: Decimal) -> str:
    """Write dollars as a plain decimal, without an exponent and without trailing zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Totals:
    """Adds rows up into what a job's summary says of them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {"total": 0, **dict.fromkeys(STATUSES, 0)}
        self.errors: dict[str, int] = {}
        self.usage = NO_USAGE
        self.cost: Decimal | None = Decimal(0)

    def add(self, row: Row) -> None:
        """Count one row. One row of unknown price makes the job's price unknown."""
        result = row.answer.result
        self.counts["total"] += 1
        self.counts[result.status] += 1
        if result.status != "succeeded":
            code = result.error_code or result.status
            self.errors[code] = self.errors.get(code, 0) + 1
        self.usage += row.usage
        self.cost = None if self.cost is None or row.cost is None else self.cost + row.cost

    def add_good(self, count: int, usage: Usage, costs: Sequence[Decimal | None]) -> None:
        """Count rows whose only answer is a good one.

        :param usage: What all of them took.
        """
        self.counts["total"] += count
        self.counts["succeeded"] += count
        self.usage += usage
        known = [cost for cost in costs if cost is not None]
        self.cost = None if self.cost is None or len(known) < len(costs) else sum(known, self.cost)

    def join(self, other: Totals) -> None:
        """Add what *other* has counted."""
        self.counts = {name: count + other.counts[name] for name, count in self.counts.items()}
        self.errors = dict(Counter(self.errors) + Counter(other.errors))
        self.usage += other.usage
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost
