"""``/v1/responses``"""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.mind.ask import DOCUMENT_TOKENS, IMAGE_TOKENS, Ask, Thought
from airflow_provider_llmbatch.emulator.mind.think import think
from airflow_provider_llmbatch.emulator.openai import models, params
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written, bad, need, one_of, typed
from airflow_provider_llmbatch.emulator.openai.strict import check_format
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import words

KNOWN = words(
    "access_programs background background_options context_management conversation image include input instructions "
    "max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store "
    "stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user"
)
ROLES = ("user", "assistant", "system", "developer")
_IGNORED = frozenset({"reasoning", "item_reference"})


class Question(Ask):
    """What a Responses body asks, with what the answer repeats of it."""

    echo: dict[str, Any] = msgspec.field(default_factory=dict)


def read(body: Body, rules: Rules) -> Question:
    """Check *body* and return what it asks."""
    model = params.known_model(body, rules)
    params.check_known(body, KNOWN)
    params.sampling(body)
    params.check_metadata(body.get("metadata"))
    _check_state(body)
    ask = Question(model, limit=params.whole(body, "max_output_tokens", 16, params.MAX_OUTPUT_TOKENS))
    ask.reasoning = rules.options.reasoning_tokens if models.reasons(model) else 0
    _read_tools(ask, body)
    _read_format(ask, body)
    instructions = body.get("instructions")
    if instructions is not None:
        ask.system = typed(instructions, "instructions", str)
        ask.parts.append(ask.system)
    _read_input(ask, need(body, "input", str, list), rules)
    names = ("instructions", "max_output_tokens", "metadata", "temperature", "top_p", "tools", "tool_choice", "text")
    ask.echo = {name: body.get(name) for name in names}
    if ask.wants_json and "json" not in ask.prompt.decode("utf-8", "replace").lower():
        text = "'input' must contain the word 'json' in some form, to use 'text.format' of type 'json_object'."
        raise bad(text, "input", "invalid_value")
    params.check_context(ask, rules, "input")
    return ask


def write(ask: Question, turn: Turn) -> Written:
    """Answer *ask*."""
    thought = think(ask, str(turn.options.seed), turn.twist)
    read_tokens, written = params.cached(ask, turn)
    usage = Usage(ask.tokens, read_tokens, written, 0, thought.tokens, thought.reasoning)
    cut = thought.stop == "length"
    echo = ask.echo
    body = {
        "id": f"resp_{turn.mark[16:]}",
        "object": "response",
        "created_at": turn.created,
        "status": "incomplete" if cut else "completed",
        "completed_at": None if cut else turn.created,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": echo["instructions"],
        "max_output_tokens": echo["max_output_tokens"],
        "metadata": echo["metadata"] or {},
        "model": models.snapshot(ask.model),
        "output": _output(thought, turn),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "temperature": 1.0 if echo["temperature"] is None else echo["temperature"],
        "text": echo["text"] or {"format": {"type": "text"}},
        "tool_choice": echo["tool_choice"] or "auto",
        "tools": [_describe_tool(tool) for tool in echo["tools"] or ()],
        "top_p": 1.0 if echo["top_p"] is None else echo["top_p"],
        "truncation": "disabled",
        "usage": usage_of(usage),
    }
    return Written(body, usage)


def usage_of(usage: Usage) -> dict[str, Any]:
    """Write *usage* with this endpoint's names (FACTS §1.5)."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.write_5m},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _output(thought: Thought, turn: Turn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if thought.reasoning:
        items.append({"id": f"rs_{turn.mark[4:52]}", "type": "reasoning", "summary": []})
    if thought.tool:
        arguments = '{"' if thought.arguments is None else params.encode(thought.arguments)
        call = {"id": f"fc_{turn.mark[:48]}", "type": "function_call", "status": "completed"}
        items.append({**call, "call_id": f"call_{turn.mark[8:32]}", "name": thought.tool.name, "arguments": arguments})
        return items
    content: dict[str, Any] = {"type": "output_text", "text": thought.text, "annotations": [], "logprobs": []}
    if thought.stop == "refusal":
        content = {"type": "refusal", "refusal": thought.text}
    status = "incomplete" if thought.stop == "length" else "completed"
    message = {"id": f"msg_{turn.mark[8:56]}", "type": "message", "role": "assistant", "status": status}
    items.append({**message, "content": [content]})
    return items


def _describe_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"strict": True, "parameters": None, **tool} if tool.get("type") == "function" else tool


def _check_state(body: Body) -> None:
    """Refuse what would need an earlier answer: the emulator keeps none."""
    previous = body.get("previous_response_id")
    if previous is not None:
        text = f"Previous response with id '{previous}' not found."
        raise bad(text, "previous_response_id", "previous_response_not_found")


def _read_tools(ask: Ask, body: Body) -> None:
    tools = typed(body.get("tools") or [], "tools", list)
    found = []
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        if need(typed(tool, where, dict), "type", str, path=f"{where}.") == "function":
            found.append(params.make_tool(tool, where))
    ask.tools = tuple(found)
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = one_of(choice.get("name"), "tool_choice", [tool.name for tool in found])
    else:
        one_of(choice, "tool_choice", ("none", "auto", "required"))
    ask.tool_choice = choice
    if tools:
        ask.parts.append(params.encode(tools))


def _read_format(ask: Ask, body: Body) -> None:
    text = typed(body.get("text") or {}, "text", dict)
    form = typed(text.get("format") or {"type": "text"}, "text.format", dict)
    kind = one_of(form.get("type"), "text.format.type", ("text", "json_object", "json_schema"))
    ask.wants_json = kind == "json_object"
    if kind == "json_schema":
        ask.schema = check_format(form, "text.format")
        ask.parts.append(params.encode(ask.schema))


def _read_input(ask: Ask, given: str | list[Any], rules: Rules) -> None:
    if isinstance(given, str):
        ask.text = given
        ask.parts.append(given)
        return
    if not given:
        raise bad("Invalid 'input': empty array. Expected at least 1 item.", "input", "empty_array")
    for number, item in enumerate(given):
        _read_item(ask, typed(item, f"input[{number}]", dict), f"input[{number}]", rules)


def _read_item(ask: Ask, item: Body, where: str, rules: Rules) -> None:
    kind = typed(item.get("type", "message"), f"{where}.type", str)
    if kind == "function_call":
        ask.parts.append(need(item, "arguments", str, path=f"{where}."))
        return
    if kind == "function_call_output":
        ask.parts.append(params.encode(item.get("output")))
        # The tool has been called already: now its result is to be put into words.
        ask.tool_choice = "none"
        return
    if kind != "message":
        if kind not in _IGNORED:
            one_of(kind, f"{where}.type", ("message", "function_call", "function_call_output", *sorted(_IGNORED)))
        return
    role = one_of(need(item, "role", str, path=f"{where}."), f"{where}.role", ROLES)
    text = _read_content(ask, need(item, "content", str, list, path=f"{where}."), f"{where}.content", rules)
    if role in ("system", "developer"):
        ask.system = f"{ask.system}\n{text}" if ask.system else text
    elif role == "user":
        ask.text = text


def _read_content(ask: Ask, content: str | list[Any], where: str, rules: Rules) -> str:
    if isinstance(content, str):
        ask.parts.append(content)
        return content
    texts = []
    for number, part in enumerate(content):
        here = f"{where}[{number}]"
        kind = need(typed(part, here, dict), "type", str, path=f"{here}.")
        if kind in ("input_text", "output_text"):
            texts.append(need(part, "text", str, path=f"{here}."))
            ask.parts.append(texts[-1])
        elif kind in ("input_image", "input_file"):
            _read_source(ask, part, kind, here, rules)
        elif kind != "refusal":
            one_of(kind, f"{here}.type", ("input_text", "input_image", "input_file", "output_text", "refusal"))
    return "\n".join(texts)


def _read_source(ask: Ask, part: Body, kind: str, where: str, rules: Rules) -> None:
    """Read an image or a file by URL, inline, or by file id."""
    if part.get("file_id"):
        code = "image_file_not_found" if kind == "input_image" else "file_not_found"
        params.check_file(part["file_id"], f"{where}.file_id", rules, code)
    elif kind == "input_image":
        params.check_image(need(part, "image_url", str, path=f"{where}."), f"{where}.image_url")
    elif not part.get("file_url"):
        data = need(part, "file_data", str, path=f"{where}.")
        params.check_base64(data.partition(",")[2] or data, f"{where}.file_data", "invalid_value")
    ask.extra_tokens += IMAGE_TOKENS if kind == "input_image" else DOCUMENT_TOKENS
    # A short mark stands for the bytes, so that a cached prefix knows one picture from another.
    ask.parts.append(digest(part)[:8])
