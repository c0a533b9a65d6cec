"""From an ask to the body of one of OpenAI's endpoints.

What the task says wins over the body that it is merged into; the user's own ``params`` win over both.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_llmbatch.core.requests import Ask
from airflow_provider_llmbatch.core.schemas import OutputSchema, Tool
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._openai_content import text_of, translate
from airflow_provider_llmbatch.hooks._openai_endpoints import (
    CAPS,
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MODERATIONS,
    RESPONSES,
    refuse,
)


def make_body(ask: Ask, endpoint: str) -> dict[str, Any]:
    """Return *ask* as the body of a request to *endpoint*.

    :raises InputError: The endpoint, or a batch, does not take what is asked.
    """
    made = _MAKERS[endpoint](ask, endpoint)
    body = {name: value for name, value in made.items() if value is not None}
    refuse(body)
    places = _PLACES[endpoint]
    if all(body.get(place) in (None, []) for place in places):
        raise InputError(
            f"a record has nothing to ask {endpoint}: there is no prompt, and no {places[0]!r} in its body. "
            "Nothing was sent. Set one of them."
        )
    return body


def _chat(ask: Ask, endpoint: str) -> dict[str, Any]:
    system = [{"role": "system", "content": ask.system}] if ask.system else []
    turns = [translate(turn, endpoint) for turn in [*system, *ask.messages]]
    return {
        **ask.body,
        "model": ask.model,
        "messages": turns if ask.messages else [*turns, *(ask.body.get("messages") or [])],
        **_cap(ask, endpoint),
        **({"response_format": {"type": "json_schema", "json_schema": _schema(ask.output)}} if ask.output else {}),
        **({"tools": [_chat_tool(tool) for tool in ask.tools]} if ask.tools else {}),
        **ask.params,
    }


def _chat_tool(tool: Tool) -> dict[str, Any]:
    if tool.raw is not None:
        return dict(tool.raw)
    function = _function(tool) | ({"strict": True} if tool.is_strict else {})
    return {"type": "function", "function": function}


def _responses(ask: Ask, endpoint: str) -> dict[str, Any]:
    body = {
        **ask.body,
        "model": ask.model,
        "instructions": ask.system or ask.body.get("instructions"),
        "input": [translate(turn, endpoint) for turn in ask.messages] or ask.body.get("input"),
        **_cap(ask, endpoint),
        **({"tools": [_responses_tool(tool) for tool in ask.tools]} if ask.tools else {}),
        **ask.params,
    }
    if ask.output:
        format_ = {"type": "json_schema", **_schema(ask.output)}
        body["text"] = {**(ask.body.get("text") or {}), "format": format_, **(ask.params.get("text") or {})}
    return body


def _responses_tool(tool: Tool) -> dict[str, Any]:
    if tool.raw is not None:
        return dict(tool.raw)
    return {"type": "function", **_function(tool), "strict": tool.is_strict}  # left out, it would mean strict here


def _without_turns(ask: Ask, endpoint: str) -> dict[str, Any]:
    """Make the body of an endpoint that is given one thing and no conversation."""
    if ask.output or ask.tools:
        raise InputError(
            f"{endpoint} calls no tools and keeps to no schema. Nothing was sent. Ask {CHAT} or {RESPONSES}."
        )
    place = _PLACES[endpoint][0]
    body = {**ask.body, "model": ask.model}
    if body.get(place) is None and ask.params.get(place) is None:
        body[place] = _only_turn(ask, endpoint)
    return {**body, **_cap(ask, endpoint), **ask.params}


def _only_turn(ask: Ask, endpoint: str) -> Any:
    """Return what the only turn says: a system text or an earlier turn would be lost, and the answer another one."""
    if ask.system or len(ask.messages) > 1 or any(turn["role"] != "user" for turn in ask.messages):
        raise InputError(
            f"{endpoint} takes one user's text, and no system text or other turns. Nothing was sent. Put all of it "
            f"into the prompt, or ask {CHAT} or {RESPONSES}."
        )
    return text_of(ask.messages[0]["content"], endpoint) if ask.messages else None


def _cap(ask: Ask, endpoint: str) -> dict[str, Any]:
    """Return the bound of the answer, unless the request brings one of its own."""
    names = CAPS.get(endpoint, ())
    return {names[0]: ask.max_tokens} if names and not set(names) & (ask.body.keys() | ask.params.keys()) else {}


def _schema(output: OutputSchema) -> dict[str, Any]:
    return {"name": output.name, "schema": dict(output.wire), "strict": output.is_strict}


def _function(tool: Tool) -> dict[str, Any]:
    description = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **description, "parameters": dict(tool.parameters)}


_PLACES = {
    CHAT: ("messages",),
    RESPONSES: ("input", "prompt"),
    EMBEDDINGS: ("input",),
    COMPLETIONS: ("prompt",),
    MODERATIONS: ("input",),
}
"""Where a body says what it asks; the responses' ``prompt`` is one that OpenAI keeps for us."""
_MAKERS = {
    CHAT: _chat,
    RESPONSES: _responses,
    EMBEDDINGS: _without_turns,
    COMPLETIONS: _without_turns,
    MODERATIONS: _without_turns,
}
