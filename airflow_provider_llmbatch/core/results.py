"""What came back for one request, in words that are no vendor's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

RowStatus = Literal["succeeded", "errored", "expired", "cancelled", "invalid", "missing"]
STATUSES: tuple[RowStatus, ...] = ("succeeded", "errored", "expired", "cancelled", "invalid", "missing")
"""The closed set of verdicts, the same for rows, counts and columns."""

Remedy = Literal["none", "retry", "change", "budget", "credential", "never"]
"""What would help a row that is not good: nothing needed, the same again, another request, more budget, another key,
or nothing at all."""


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """Tokens of one answer.

    :ivar input: All input tokens, cached and cache-written ones included, whatever the vendor's own convention.
    :ivar cached_input: Of these, read from a cache.
    :ivar cache_write: Of these, written to a cache.
    :ivar cache_write_1h: Of the written ones, those kept for an hour.
    :ivar output: All output tokens, reasoning included.
    :ivar reasoning: Of the output, spent on reasoning.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            cache_write=self.cache_write + other.cache_write,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )

    @property
    def cache_hit_ratio(self) -> float:
        """The share of the input that was read from a cache, 0 to 1, to four digits."""
        return round(self.cached_input / self.input, 4) if self.input else 0.0

    def as_summary(self) -> dict[str, int]:
        """Return the names that a job's summary uses."""
        return {
            "input_tokens": self.input,
            "cached_input_tokens": self.cached_input,
            "cache_write_tokens": self.cache_write,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
        }


NO_USAGE = Usage()


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Add up many."""
    columns = zip(*map(msgspec.structs.astuple, usages), strict=True)
    return Usage(**dict(zip(Usage.__struct_fields__, map(sum, columns), strict=False)))


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A call that the model asks for.

    :ivar id: The vendor's name for it.
    :ivar arguments: The decoded JSON; the raw text where it is none.
    """

    id: str | None
    name: str
    arguments: Any


class Result(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """One answer, or the reason why there is none.

    :ivar output: The text, or data where the answer is not text (vectors, moderation scores).
    :ivar model: The model that answered, as the vendor names it.
    :ivar remedy: What would help, for a row that is not good.
    :ivar tool_calls: Calls that the model asks for, in order.
    :ivar thinking: What the model let us see of its reasoning.
    :ivar is_full_price: Whether the vendor says that it was not billed as part of a batch.
    """

    status: RowStatus
    output: Any = None
    error_code: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    usage: Usage = NO_USAGE
    remedy: Remedy = "none"
    tool_calls: list[ToolCall] | None = None
    thinking: str | None = None
    is_full_price: bool = False


MISSING = Result(
    status="missing",
    error_code="missing",
    error_message="The vendor returned no line for this request.",
    remedy="retry",
)


TRUNCATED = "truncated"
"""Our code for an answer that stopped at its ``max_tokens``."""
INVALID_OUTPUT = "invalid_output"
"""Our code for an answer that is not what ``output_type`` asks for."""


class Line(msgspec.Struct, gc=False):
    """The only part of a result line that is needed to match it to its request."""

    custom_id: str


def not_answered(status: RowStatus, code: str, message: str, remedy: Remedy) -> Result:
    """Return a result without an answer."""
    return Result(status=status, error_code=code, error_message=message, remedy=remedy)
