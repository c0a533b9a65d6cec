"""One line of a request file: the bytes we are billed for, made, changed and read again."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from airflow_provider_llmbatch.core.jsonl import encode_line
from airflow_provider_llmbatch.core.requests import SAME, Ask, Change, Request
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._openai_bodies import make_body
from airflow_provider_llmbatch.hooks._openai_endpoints import (
    CAPS,
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    choose_endpoint,
    count_inputs,
    lane,
)

_Body: TypeAlias = dict[str, msgspec.Raw]
"""A body whose values are bytes still: what is not changed stays as it was sent."""


class Line(msgspec.Struct):
    """One line of an input file."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


def make_line(custom_id: str, ask: Ask, endpoint: str | None) -> Request:
    """Return the request line of *ask*."""
    url = choose_endpoint(ask, endpoint)
    body = make_body(ask, url)
    line = encode_line({"custom_id": custom_id, "method": "POST", "url": url, "body": body})
    inputs = count_inputs(body["input"]) if url == EMBEDDINGS else 0
    return Request(line, lane(url, body.get("model")), inputs)


def change_line(custom_id: str, line: bytes, change: Change) -> Request:
    """Return *line* under another custom id, changed as *change* says.

    :raises InputError: Its endpoint does not know what is to be changed.
    """
    request = msgspec.json.decode(line, type=Line)
    request.custom_id = custom_id
    body = msgspec.json.decode(request.body, type=_Body)
    if change != SAME:
        _change(body, request.url, change)
        request.body = _raw(body)
    inputs = count_inputs(_read(body, "input")) if request.url == EMBEDDINGS else 0
    return Request(encode_line(request), lane(request.url, _read(body, "model")), inputs)


def cap_of_line(line: bytes) -> int | None:
    """Return the bound of the answer that *line* sets, in tokens."""
    request = msgspec.json.decode(line, type=Line)
    if request.url not in CAPS:
        return None
    body = msgspec.json.decode(request.body, type=_Body)
    cap = _read(body, _cap_name(body, request.url))
    return cap if isinstance(cap, int) else None


def bound_of_line(line: bytes) -> int | None:
    """Return how many tokens of output *line* may cost: vectors and scores are none, and of ``best_of`` all are."""
    request = msgspec.json.decode(line, type=Line)
    if request.url not in CAPS:
        return 0
    cap = cap_of_line(line)
    best_of = _read(msgspec.json.decode(request.body, type=_Body), "best_of")
    return cap * best_of if cap is not None and isinstance(best_of, int) else cap


def _change(body: _Body, url: str, change: Change) -> None:
    if change.model is not None:
        body["model"] = _raw(change.model)
    if change.max_tokens is not None:
        if url not in CAPS:
            raise InputError(f"{url} sets no bound to its answer: there is no max_tokens to change. Nothing was sent.")
        body[_cap_name(body, url)] = _raw(change.max_tokens)
    if change.turns:
        _add_turns(body, url, change)


def _add_turns(body: _Body, url: str, change: Change) -> None:
    place = {CHAT: "messages", RESPONSES: "input"}.get(url)
    if place is None:
        raise InputError(f"{url} takes no conversation: there is nothing to add turns to. Nothing was sent.")
    said = _read(body, place) or []
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    body[place] = _raw([*said, *change.turns])


def _cap_name(body: _Body, url: str) -> str:
    """Return the name under which *body* bounds its answer, or would."""
    return next((name for name in CAPS[url] if name in body), CAPS[url][0])


def _read(body: _Body, name: str) -> Any:
    return msgspec.json.decode(body[name]) if name in body else None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
