"""What to ask instead of a request that failed: ready-made ``repair`` functions.

A repair gets a copy of the record's fields, as the source has them, and what went wrong. It returns the fields to ask
with in the next round, or ``None`` to give the record up. Any function of that form will do; these are for prompts that
are too long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_llmbatch.exceptions import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """Why a row is not good.

    :ivar code: The row's ``llm_error_code``.
    :ivar message: Its ``llm_error_message``; ``""`` if there is none.
    :ivar status: Its ``llm_status``.
    :ivar output: What the model wrote, if it wrote anything.
    :ivar round: The round that ended so; the first is 1.
    """

    code: str
    message: str
    status: str
    output: Any = None
    round: int = 1


Repair = Callable[[dict[str, Any], RowError], dict[str, Any] | None]

TOO_LONG = (
    "context_length_exceeded",
    "string_above_max_length",
    "request_too_large",
    "maximum context length",
    "prompt is too long",
    "exceed context limit",
)
"""What the vendors say of a prompt that does not fit: codes, and words of messages where the code says less.

Anthropic's code is ``invalid_request_error`` for this as for any other mistake; OpenAI's embeddings have none.
"""
MARK = "\n[…]\n"
"""Shows the model that something was left out."""


def cut_middle(field: str, keep: float = 0.5, codes: tuple[str, ...] = TOO_LONG) -> Cut:
    """Shorten a text in its middle: the first and the last lines of a document often say most.

    :param field: Name of the record's field.
    :param keep: Part of the text's characters that is kept, above 0 and below 1; after round 2 it is the square of
        this, after round 3 the cube, and so on.
    :param codes: Which errors to act on: codes, or words of a message.
    """
    return Cut(field, keep, codes, keeps_end=True)


def cut_end(field: str, keep: float = 0.5, codes: tuple[str, ...] = TOO_LONG) -> Cut:
    """Shorten a text at its end. The parameters are those of :func:`cut_middle`."""
    return Cut(field, keep, codes, keeps_end=False)


def drop(*fields: str, codes: tuple[str, ...] = TOO_LONG) -> Drop:
    """Empty fields: a text becomes ``""``, a list ``[]``, anything else ``None``.

    The field itself stays, since a template that asks for it would fail without it.

    :param fields: Names of the record's fields.
    :param codes: Which errors to act on: codes, or words of a message.
    """
    return Drop(fields, codes)


def first_of(*repairs: Repair) -> FirstOf:
    """Try *repairs* in order, and take the first that helps."""
    return FirstOf(repairs)


@dataclass(frozen=True, slots=True)
class Cut:
    """See :func:`cut_middle` and :func:`cut_end`."""

    field: str
    keep: float = 0.5
    codes: tuple[str, ...] = TOO_LONG
    keeps_end: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise InputError(f"repair: keep={self.keep!r} must be above 0 and below 1. Nothing was sent.")

    def __call__(self, record: dict[str, Any], error: RowError) -> dict[str, Any] | None:
        """Return *record* with a shorter text; ``None`` if there is none, or nothing would be left of it."""
        text = record.get(self.field)
        if not (_is_one_of(self.codes, error) and isinstance(text, str)):
            return None
        length = int(len(text) * self.keep**error.round)
        tail = length // 2 if self.keeps_end else 0
        shorter = text[: length - tail] + MARK + text[len(text) - tail :]
        return {**record, self.field: shorter} if length and len(shorter) < len(text) else None


@dataclass(frozen=True, slots=True)
class Drop:
    """See :func:`drop`."""

    fields: tuple[str, ...]
    codes: tuple[str, ...] = TOO_LONG

    def __call__(self, record: dict[str, Any], error: RowError) -> dict[str, Any] | None:
        """Return *record* with the fields emptied; ``None`` if they were empty already."""
        emptied = {name: _nothing(record[name]) for name in self.fields if record.get(name)}
        return {**record, **emptied} if emptied and _is_one_of(self.codes, error) else None


@dataclass(frozen=True, slots=True, repr=False)
class FirstOf:
    """See :func:`first_of`."""

    repairs: tuple[Repair, ...]

    def __call__(self, record: dict[str, Any], error: RowError) -> dict[str, Any] | None:
        """Return what the first repair that helps returns; each gets a copy of its own."""
        found = (repair(dict(record), error) for repair in self.repairs)
        return next((other for other in found if other is not None), None)

    def __repr__(self) -> str:
        """Name functions by what they are called: their own ``repr`` is another one in every process."""
        return f"FirstOf({', '.join(map(_name_of, self.repairs))})"


def _name_of(repair: Repair) -> str:
    name = getattr(repair, "__qualname__", None)
    return f"{repair.__module__}.{name}" if name else repr(repair)


def _is_one_of(codes: tuple[str, ...], error: RowError) -> bool:
    message = error.message.lower()
    return any(code == error.code or code.lower() in message for code in codes)


def _nothing(value: Any) -> Any:
    return "" if isinstance(value, str) else [] if isinstance(value, list) else None
