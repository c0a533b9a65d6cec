"""Anthropic's lists: ``limit``, ``after_id`` and ``before_id``, newest first (FACTS §2.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from airflow_provider_llmbatch.emulator.wire import AnthropicError


class HasId(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The vendor's id."""
        ...


T = TypeVar("T", bound=HasId)
MOST, DEFAULT = 1_000, 20


def page(items: Sequence[T], query: Mapping[str, str], *, render: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """Return the page of *items* that *query* asks for; ``has_more`` looks in the direction of the paging."""
    size = limit(query)
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise AnthropicError(400, "before_id, after_id: only one of these may be given")
    if before:
        end = _find(items, before)
        start = max(0, end - size)
        chosen, more = items[start:end], start > 0
    else:
        start = _find(items, after) + 1 if after else 0
        chosen, more = items[start : start + size], start + size < len(items)
    return {
        "data": [render(item) for item in chosen],
        "has_more": more,
        "first_id": chosen[0].id if chosen else None,
        "last_id": chosen[-1].id if chosen else None,
    }


def limit(query: Mapping[str, str]) -> int:
    """Return how many items a page may have."""
    text = query.get("limit", str(DEFAULT))
    if not text.isdigit():
        raise AnthropicError(400, "limit: Input should be a valid integer, unable to parse string as an integer")
    if not 1 <= int(text) <= MOST:
        word = "greater than or equal to 1" if int(text) < 1 else f"less than or equal to {MOST}"
        raise AnthropicError(400, f"limit: Input should be {word}")
    return int(text)


def _find(items: Sequence[HasId], item_id: str) -> int:
    for number, item in enumerate(items):
        if item.id == item_id:
            return number
    raise AnthropicError(400, f"Invalid cursor: no object found with id {item_id}")
