"""OpenAI's lists: ``limit``, ``after``, and a page that says whether there is more (FACTS §1.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from airflow_provider_llmbatch.emulator.openai.params import bad


class HasId(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The vendor's id."""
        ...


T = TypeVar("T", bound=HasId)


def page(
    items: Sequence[T], query: Mapping[str, str], *, most: int, default: int, render: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Return the page of *items* that *query* asks for."""
    limit = _limit(query.get("limit"), most, default)
    start = 0
    after = query.get("after")
    if after:
        start = next((number for number, item in enumerate(items, 1) if item.id == after), -1)
        if start < 0:
            raise bad(f"No object found with id '{after}'.", "after", "invalid_value")
    chosen = items[start : start + limit]
    return {
        "object": "list",
        "data": [render(item) for item in chosen],
        "first_id": chosen[0].id if chosen else None,
        "last_id": chosen[-1].id if chosen else None,
        "has_more": start + limit < len(items),
    }


def _limit(text: str | None, most: int, default: int) -> int:
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise bad(
            f"Invalid 'limit': expected an integer between 1 and {most}, but got {text!r}.", "limit", "invalid_value"
        )
    return int(text)
