"""From the body of an answer to a result, one reader per endpoint.

What was paid for is kept whatever the verdict: the text that came before a cut, and the tokens.
"""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.results import NO_USAGE, TRUNCATED, Result, ToolCall, Usage
from airflow_provider_llmbatch.hooks._openai_errors import CONTENT_FILTER, EMPTY, REFUSAL


def read_answer(body: dict[str, Any]) -> Result:
    """Read the body of a 200. The remedy of a result that is not good is left to the table of codes.

    A look-alike may leave ``object`` out, and a moderation has none: then its content tells what it is.
    """
    read = _BY_OBJECT.get(str(body.get("object")))
    return (read or next((read for place, read in _BY_PLACE if place in body), _read_chat))(body)


def _read_chat(body: dict[str, Any]) -> Result:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message")
    if not message:
        return _read_completion(body)
    calls = [_chat_call(call) for call in message.get("tool_calls") or []]
    if message.get("function_call"):  # the older word for the only call there is
        calls.append(_chat_call(message))
    reason = _text(choice.get("finish_reason"))
    return _settle(
        message.get("content"),
        refusal=_text(message.get("refusal")),
        stopped=_STOPS.get(reason or ""),
        finish_reason=reason,
        tool_calls=calls or None,
        thinking=_text(message.get("reasoning_content") or message.get("reasoning")),  # look-alikes only
        **_facts(body),
    )


def _chat_call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function") or call.get("function_call")
    if function:
        return ToolCall(_text(call.get("id")), str(function.get("name") or ""), _decode(function.get("arguments")))
    custom = call.get("custom") or {}
    return ToolCall(_text(call.get("id")), str(custom.get("name") or ""), custom.get("input"))


def _read_response(body: dict[str, Any]) -> Result:
    items = body.get("output") or []
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or []]
    calls = [_response_call(item) for item in items if item.get("type") in ("function_call", "custom_tool_call")]
    status = _text(body.get("status"))
    ended = _text((body.get("incomplete_details") or {}).get("reason")) or status
    text = "".join(part.get("text") or "" for part in parts if part.get("type") == "output_text")
    facts: dict[str, Any] = {
        "finish_reason": ended,
        "tool_calls": calls or None,
        "thinking": _thinking(items),
        **_facts(body, "input_tokens", "output_tokens"),
    }
    if status not in (None, "completed", "incomplete"):  # failed, as a rule
        problem = body.get("error") or {}
        return _errored(str(problem.get("code") or status), _text(problem.get("message")), text or None, facts)
    refusal = next((_text(part.get("refusal")) for part in parts if part.get("type") == "refusal"), None)
    stopped = None if ended in (None, "completed") else _STOPS.get(ended, ended)
    return _settle(None if calls and not text else text, refusal=refusal, stopped=stopped, **facts)


def _response_call(item: dict[str, Any]) -> ToolCall:
    arguments = _decode(item["arguments"]) if "arguments" in item else item.get("input")
    return ToolCall(_text(item.get("call_id")), str(item.get("name") or ""), arguments)


def _thinking(items: Iterable[dict[str, Any]]) -> str | None:
    """Return what the reasoning items let us see: OpenAI sends a summary, and an open model all of it."""
    thoughts = [item for item in items if item.get("type") == "reasoning"]
    texts = [part.get("text") or "" for item in thoughts for part in item.get("summary") or item.get("content") or []]
    return "\n\n".join(filter(None, texts)) or None


def _read_completion(body: dict[str, Any]) -> Result:
    """Read one text, or as many as prompts were given."""
    choices = body.get("choices") or []
    texts = [choice.get("text") for choice in choices]
    if None in texts or not texts:
        return _errored(EMPTY, "The answer is empty.", None, _facts(body))
    reasons = [_text(choice.get("finish_reason")) for choice in choices]
    reason = next((reason for reason in reasons if reason in _STOPS), reasons[0])
    return _settle(_one_or_all(texts), stopped=_STOPS.get(reason or ""), finish_reason=reason, **_facts(body))


def _read_embeddings(body: dict[str, Any]) -> Result:
    items = sorted(body.get("data") or [], key=lambda item: item.get("index") or 0)
    return _read_data([_vector(item["embedding"]) for item in items], body)


def _vector(embedding: list[float] | str) -> list[float]:
    """Return a vector as numbers. In base64 it is a row of little-endian float32."""
    if not isinstance(embedding, str):
        return embedding
    numbers = array("f", base64.b64decode(embedding, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _read_moderations(body: dict[str, Any]) -> Result:
    return _read_data(body.get("results") or [], body)


def _read_data(items: list[Any], body: dict[str, Any]) -> Result:
    if not items:
        return _errored(EMPTY, "The answer is empty.", None, _facts(body))
    return Result(status="succeeded", output=_one_or_all(items), **_facts(body))


def _one_or_all(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


# -- verdicts --------------------------------------------------------------------------------------------------


def _settle(output: Any, *, refusal: str | None = None, stopped: str | None, **facts: Any) -> Result:
    """Return the verdict on an answer.

    :param stopped: Our code for what stopped the model before its own end; ``None``: nothing did.
    """
    if refusal:
        return _errored(REFUSAL, refusal, refusal, facts)
    if stopped is None or (stopped == TRUNCATED and _is_whole(output, facts.get("tool_calls"))):
        return Result(status="succeeded", output=output, **facts)
    if stopped == TRUNCATED:
        message = "The answer stopped at its upper bound of tokens; what came of it is kept, and billed."
        return Result(status="invalid", error_code=TRUNCATED, error_message=message, output=output or None, **facts)
    message = "The content filter stopped the answer." if stopped == CONTENT_FILTER else f"It stopped early: {stopped}."
    return _errored(stopped, message, output or None, facts)


def _errored(code: str, message: str | None, output: Any, facts: dict[str, Any]) -> Result:
    return Result(status="errored", error_code=code, error_message=message, output=output, **facts)


def _is_whole(output: Any, calls: list[ToolCall] | None) -> bool:
    """Return whether an answer that met its bound is complete all the same: whole JSON, and nothing but blanks cut off.

    A number or a word that is cut is still a number or a word; an object or a list that is cut is no JSON any more.
    """
    if calls:
        return all(isinstance(call.arguments, (dict, list)) for call in calls)
    return isinstance(output, str) and isinstance(_decode(output), (dict, list))


def _decode(text: Any) -> Any:
    """Return the JSON in *text*, or *text* where it is none."""
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else text
    except (msgspec.DecodeError, RecursionError):
        return text


def _text(value: Any) -> str | None:
    """Return *value* where it is text: what else a look-alike may put there has no place in a row."""
    return value if isinstance(value, str) and value else None


def _facts(body: dict[str, Any], given: str = "prompt_tokens", made: str = "completion_tokens") -> dict[str, Any]:
    return {"model": _text(body.get("model")), "usage": _usage(body.get("usage"), given, made)}


def _usage(usage: dict[str, Any] | None, given: str, made: str) -> Usage:
    """Read token counts. OpenAI's input count includes cached and cache-written tokens (FACTS §1.5)."""
    if not usage:
        return NO_USAGE
    into = usage.get(f"{given}_details") or {}
    out = usage.get(f"{made}_details") or {}
    return Usage(
        input=_count(usage.get(given)),
        cached_input=_count(into.get("cached_tokens")),
        cache_write=_count(into.get("cache_write_tokens")),
        output=_count(usage.get(made)),
        reasoning=_count(out.get("reasoning_tokens")),
    )


def _count(value: Any) -> int:
    """Return a count of tokens; what is none is not billed by us either."""
    return value if type(value) is int and value > 0 else 0


_STOPS = {"length": TRUNCATED, "max_output_tokens": TRUNCATED, "content_filter": CONTENT_FILTER}
"""What stops a model before its own end, by the endpoints' words for it."""
_BY_OBJECT: dict[str, Callable[[dict[str, Any]], Result]] = {"chat.completion": _read_chat, "response": _read_response}
_BY_PLACE = [("output", _read_response), ("results", _read_moderations), ("data", _read_embeddings)]
