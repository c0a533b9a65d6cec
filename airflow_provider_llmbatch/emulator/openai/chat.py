"""``/v1/chat/completions``"""

from __future__ import annotations

from typing import Any

from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.mind.ask import DOCUMENT_TOKENS, IMAGE_TOKENS, Ask, Thought, Tool
from airflow_provider_llmbatch.emulator.mind.think import think
from airflow_provider_llmbatch.emulator.openai import models, params
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written, bad, need, one_of, typed
from airflow_provider_llmbatch.emulator.openai.strict import check_format
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import words

KNOWN = words(
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages "
    "metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier "
    "stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options"
)
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
FINISH = {"stop": "stop", "sequence": "stop", "length": "length", "tool": "tool_calls", "refusal": "stop"}


def read(body: Body, rules: Rules) -> Ask:
    """Check *body* and return what it asks."""
    model = params.known_model(body, rules)
    params.check_known(body, KNOWN)
    messages = need(body, "messages", list)
    if not messages:
        raise bad("Invalid 'messages': empty array. Expected at least 1 message.", "messages", "empty_array")
    params.sampling(body)
    params.check_metadata(body.get("metadata"))
    ask = Ask(model, limit=_limit(body, model), stops=read_stops(body), answers=params.whole(body, "n", 1, 128) or 1)
    ask.reasoning = rules.options.reasoning_tokens if models.reasons(model) else 0
    _read_tools(ask, body)
    _read_format(ask, body)
    for number, message in enumerate(messages):
        _read_message(ask, message, f"messages[{number}]", rules)
    if messages[-1]["role"] in ("tool", "function"):
        # The tool has been called already: now its result is to be put into words.
        ask.tool_choice = "none"
    if ask.wants_json and "json" not in ask.prompt.decode("utf-8", "replace").lower():
        text = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        raise bad(text, "messages", "invalid_value")
    params.check_context(ask, rules, "messages")
    return ask


def write(ask: Ask, turn: Turn) -> Written:
    """Answer *ask*."""
    thoughts = [think(ask, f"{turn.options.seed}/{number or ''}", turn.twist) for number in range(ask.answers)]
    read_tokens, written = params.cached(ask, turn)
    usage = Usage(
        input=ask.tokens,
        cached=read_tokens,
        write_5m=written,
        output=sum(thought.tokens for thought in thoughts),
        reasoning=sum(thought.reasoning for thought in thoughts),
    )
    body = {
        "id": f"chatcmpl-{turn.mark[16:45]}",
        "object": "chat.completion",
        "created": turn.created,
        "model": models.snapshot(ask.model),
        "choices": [_choice(thought, number, turn) for number, thought in enumerate(thoughts)],
        "usage": usage_of(usage),
        "service_tier": "default",
        "system_fingerprint": f"fp_{turn.mark[-10:]}",
    }
    return Written(body, usage)


def usage_of(usage: Usage) -> dict[str, Any]:
    """Write *usage* with this endpoint's names (FACTS §1.5)."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.write_5m,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(thought: Thought, number: int, turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": thought.text, "refusal": None, "annotations": []}
    if thought.stop == "refusal":
        message |= {"content": None, "refusal": thought.text}
    if thought.tool:
        arguments = '{"' if thought.arguments is None else params.encode(thought.arguments)
        call = {"name": thought.tool.name, "arguments": arguments}
        message |= {
            "content": None,
            "tool_calls": [{"id": f"call_{turn.mark[8:32]}", "type": "function", "function": call}],
        }
    return {"index": number, "message": message, "logprobs": None, "finish_reason": FINISH[thought.stop]}


def _limit(body: Body, model: str) -> int | None:
    if body.get("max_tokens") is not None and models.reasons(model):
        text = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise bad(text, "max_tokens", "unsupported_parameter")
    old = params.whole(body, "max_tokens", 1, params.MAX_OUTPUT_TOKENS)
    return params.whole(body, "max_completion_tokens", 1, params.MAX_OUTPUT_TOKENS) or old


def read_stops(body: Body) -> tuple[str, ...]:
    """Return the stop sequences, four at most."""
    stop = body.get("stop")
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else typed(stop, "stop", list)
    if len(stops) > 4:
        raise bad("Invalid 'stop': array too long. Expected at most 4 elements.", "stop", "array_above_max_length")
    return tuple(typed(one, "stop", str) for one in stops)


def _read_tools(ask: Ask, body: Body) -> None:
    tools = typed(body.get("tools") or [], "tools", list)
    found: list[Tool] = []
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        one_of(need(typed(tool, where, dict), "type", str, path=f"{where}."), f"{where}.type", ("function", "custom"))
        if tool["type"] == "function":
            found.append(params.make_tool(need(tool, "function", dict, path=f"{where}."), f"{where}.function"))
    ask.tools = tuple(found)
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, dict):
        choice = typed(choice.get("function") or {}, "tool_choice.function", dict).get("name")
        one_of(choice, "tool_choice", [tool.name for tool in found])
    else:
        one_of(choice, "tool_choice", ("none", "auto", "required"))
    if choice == "required" and not tools:
        raise bad("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice", "invalid_value")
    ask.tool_choice = choice
    if tools:
        ask.parts.append(params.encode(tools))


def _read_format(ask: Ask, body: Body) -> None:
    form = typed(body.get("response_format") or {"type": "text"}, "response_format", dict)
    kind = one_of(form.get("type"), "response_format.type", ("text", "json_object", "json_schema"))
    ask.wants_json = kind == "json_object"
    if kind == "json_schema":
        where = "response_format.json_schema"
        ask.schema = check_format(need(form, "json_schema", dict, path="response_format."), where)
        ask.parts.append(params.encode(ask.schema))


def _read_message(ask: Ask, message: Any, where: str, rules: Rules) -> None:
    typed(message, where, dict)
    role = one_of(need(message, "role", str, path=f"{where}."), f"{where}.role", ROLES)
    content = message.get("content")
    if content is None and role != "assistant":
        raise bad(
            f"Invalid value for 'content': expected a string, got null ({where}).", f"{where}.content", "invalid_type"
        )
    if role == "tool":
        need(message, "tool_call_id", str, path=f"{where}.")
    text = content if isinstance(content, str) else _read_parts(ask, content, f"{where}.content", rules)
    ask.parts.append(text)
    if message.get("tool_calls"):
        ask.parts.append(params.encode(message["tool_calls"]))
    if role in ("system", "developer"):
        ask.system = f"{ask.system}\n{text}" if ask.system else text
    elif role == "user":
        ask.text = text


def _read_parts(ask: Ask, parts: Any, where: str, rules: Rules) -> str:
    texts = []
    for number, part in enumerate(typed(parts or [], where, str, list)):
        here = f"{where}[{number}]"
        kind = need(typed(part, here, dict), "type", str, path=f"{here}.")
        if kind == "text":
            texts.append(need(part, "text", str, path=f"{here}."))
        elif kind == "image_url":
            image = need(part, "image_url", dict, path=f"{here}.")
            params.check_image(need(image, "url", str, path=f"{here}.image_url."), f"{here}.image_url.url")
            ask.extra_tokens += IMAGE_TOKENS
            # A short mark stands for the bytes, so that a cached prefix knows one picture from another.
            ask.parts.append(digest(image)[:8])
        elif kind == "file":
            _read_file(need(part, "file", dict, path=f"{here}."), f"{here}.file", rules)
            ask.extra_tokens += DOCUMENT_TOKENS
            ask.parts.append(digest(part)[:8])
        elif kind == "refusal":
            texts.append(need(part, "refusal", str, path=f"{here}."))
        else:
            one_of(kind, f"{here}.type", ("text", "image_url", "input_audio", "refusal", "file"))
    return "\n".join(texts)


def _read_file(file: Body, where: str, rules: Rules) -> None:
    if file.get("file_id"):
        params.check_file(file["file_id"], f"{where}.file_id", rules)
        return
    data = need(file, "file_data", str, path=f"{where}.")
    _, comma, encoded = data.partition(",")
    params.check_base64(encoded if comma else data, f"{where}.file_data", "invalid_value")
