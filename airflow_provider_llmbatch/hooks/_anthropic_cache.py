"""Marks for Anthropic's prompt cache: where ``cache`` places them, and what is too small to be cached (FACTS §2.8).

The vendor reads a request in the order tools, system text, messages, and remembers it up to every mark. The parts are
counted in that order here: 0 are the tools, 1 is the system text, 2 + *n* is message *n*. A mark stands on the last
block of a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.requests import SYSTEM_ROLES, Ask

MARK = "cache_control"
MOST_MARKS = 4
BYTES_PER_TOKEN = 4
"""To warn by: English has about four bytes to a token."""
LEAST_TOKENS = {
    "claude-sonnet-5-5": 512,
    "claude-sonnet-5": 1_024,
    "claude-sonnet-4": 1_024,
    "claude-opus-4-8": 1_024,
    "claude-opus-4-7": 2_048,
    "claude-opus-4-6": 4_096,
    "claude-opus-4-5": 4_096,
    "claude-haiku-4-5": 4_096,
}
"""Tokens of the shortest prompt that a model caches; names may go on (dated snapshots)."""
LEAST_OF_ALL = 512
"""For every other model: the least that any model is known to cache."""

_TOOLS, _SYSTEM, _MESSAGES = range(3)
_LAST_TURNS = {"last_user_message": 1, "last_2_user_messages": 2, "last_3_user_messages": 3}
_UNMARKABLE = ("thinking", "redacted_thinking")
_MEDIA = ("image", "document")


def marked(params: dict[str, Any], ask: Ask) -> dict[str, Any]:
    """Return *params* with the marks that ``ask.cache`` asks for.

    The user's own marks stay as they are, and count: a request may have four, and one that lives for an hour may not
    follow one that lives for five minutes. So ours gives way: the earlier places are left out, the time is adapted.
    """
    if ask.cache is None:
        return params
    parts = _parts(params)
    own = [(place, ttl) for place, part in parts.items() for ttl in _marks(part)]
    places = [place for place in _places(ask, params, parts) if _is_markable(parts.get(place))]
    if params.get(MARK):  # the vendor's own automatic mode: it marks the last block
        last = max(parts, default=_MESSAGES)
        places = [place for place in places if place != last]
        own.append((last, _ttl_of(params[MARK])))
    room = MOST_MARKS - len(own)
    for place in places[max(0, len(places) - room) :]:
        mark = {"type": "ephemeral", "ttl": _legal_ttl(place, own, ask.cache_ttl)}
        params = _with_mark(params, place, mark)
    return params


def shortfall(params: Mapping[str, Any]) -> str | None:
    """Return why nothing of *params* will be cached, or ``None`` if it will, as far as its size tells."""
    parts = _parts(params)
    ends = [place for place, part in parts.items() if any(True for _ in _marks(part))]
    if not ends and not params.get(MARK):
        return "it has no part to mark"
    end = max(parts if params.get(MARK) else ends)
    prefix = [part for place, part in parts.items() if place <= end]
    if any(block.get("type") in _MEDIA for part in prefix for block in _blocks(part)):
        return None
    tokens = sum(len(msgspec.json.encode(part)) for part in prefix) // BYTES_PER_TOKEN
    model = str(params.get("model"))
    least = least_tokens(model)
    if tokens >= least:
        return None
    return f"up to its last mark it has about {tokens:,} tokens (bytes / 4), and {model} caches no fewer than {least:,}"


def least_tokens(model: str) -> int:
    """Return how many tokens *model* caches at least."""
    return next((least for name, least in LEAST_TOKENS.items() if model.startswith(name)), LEAST_OF_ALL)


def _parts(params: Mapping[str, Any]) -> dict[int, Any]:
    """Return what the vendor reads, in its order, by place."""
    messages = params.get("messages")
    contents = enumerate(map(_content, messages if isinstance(messages, list) else ()), _MESSAGES)
    found = {_TOOLS: params.get("tools"), _SYSTEM: params.get("system"), **dict(contents)}
    return {place: part for place, part in found.items() if part}


def _content(turn: Any) -> Any:
    return turn.get("content") if isinstance(turn, Mapping) else None


def _role(turn: Any) -> Any:
    return turn.get("role") if isinstance(turn, Mapping) else None


def _blocks(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the blocks of *part*, those inside of a tool's result as well."""
    for block in part if isinstance(part, Sequence) and not isinstance(part, str) else ():
        if isinstance(block, Mapping):
            yield from _blocks(block.get("content"))
            yield block


def _marks(part: Any) -> Iterator[str]:
    """Yield how long each mark in *part* lives."""
    return (_ttl_of(block[MARK]) for block in _blocks(part) if block.get(MARK))


def _ttl_of(mark: Any) -> str:
    return str(mark.get("ttl") or "5m") if isinstance(mark, Mapping) else "5m"


def _places(ask: Ask, params: Mapping[str, Any], parts: Mapping[int, Any]) -> list[int]:
    """Return the places that the pattern names, in order, whether or not there is anything."""
    if ask.cache == "tools_only":
        return [_TOOLS]
    if ask.cache == "system_and_tools":
        return [_TOOLS, _SYSTEM]
    if ask.cache == "automatic":
        moved = sum(turn["role"] in SYSTEM_ROLES for turn in ask.messages[: max(0, ask.shared - 1)])
        return [place for place in parts if place <= ask.shared - moved][-1:]
    roles = enumerate(map(_role, params.get("messages") or ()), _MESSAGES)
    asked = [place for place, role in roles if role == "user"]
    return asked[-_LAST_TURNS[str(ask.cache)] :]


def _is_markable(part: Any) -> bool:
    """Return whether a mark may stand at the end of *part* and the user put none there, not even ``None``."""
    if isinstance(part, str) or not part:
        return bool(part)
    last = part[-1] if isinstance(part, Sequence) else None
    if not isinstance(last, Mapping) or MARK in last or last.get("type") in _UNMARKABLE:
        return False
    return last.get("type") != "text" or bool(last.get("text"))


def _legal_ttl(place: int, own: Sequence[tuple[int, str]], wanted: str) -> str:
    """Return how long a mark at the end of *place* may live: none may follow one that lives shorter."""
    if any(where <= place and ttl == "5m" for where, ttl in own):
        return "5m"
    return "1h" if any(where > place and ttl == "1h" for where, ttl in own) else wanted


def _with_mark(params: dict[str, Any], place: int, mark: Mapping[str, str]) -> dict[str, Any]:
    if place < _MESSAGES:
        name = ("tools", "system")[place]
        return {**params, name: _ending_with(params[name], mark)}
    turns = list(params["messages"])
    turn = turns[place - _MESSAGES]
    turns[place - _MESSAGES] = {**turn, "content": _ending_with(turn["content"], mark)}
    return {**params, "messages": turns}


def _ending_with(part: Any, mark: Mapping[str, str]) -> list[Any]:
    blocks = [{"type": "text", "text": part}] if isinstance(part, str) else list(part)
    return [*blocks[:-1], {**blocks[-1], MARK: mark}]
