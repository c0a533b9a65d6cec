"""``/v1/messages``: read a body, write an answer."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator.anthropic import models
from airflow_provider_llmbatch.emulator.anthropic.blocks import Question, mark, read_content
from airflow_provider_llmbatch.emulator.anthropic.params import (
    Body,
    Rules,
    Turn,
    Written,
    bad,
    check_known,
    need,
    one_of,
    sampling,
    typed,
)
from airflow_provider_llmbatch.emulator.anthropic.structure import check_schema, check_wellformed
from airflow_provider_llmbatch.emulator.ids import letters
from airflow_provider_llmbatch.emulator.mind.ask import Thought, Tool, count_bytes, count_tokens
from airflow_provider_llmbatch.emulator.mind.think import think
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import words

KNOWN = words(
    "cache_control container diagnostics inference_geo max_tokens messages metadata model output_config service_tier "
    "stop_sequences stream system temperature thinking tool_choice tools top_k top_p mcp_servers context_management "
    "betas"
)
NOT_IN_BATCH = words("speed store previous_thread_event_id cache_hint context_hint fallbacks billing_policy")
"""Parameters that the Messages API may know but a batch refuses (FACTS §2.9)."""

STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "sequence": "stop_sequence",
    "tool": "tool_use",
    "refusal": "refusal",
}
_SECONDS = {False: 300.0, True: 3_600.0}


def read(body: Body, rules: Rules) -> Question:
    """Check *body* and return what it asks."""
    model = models.find(need(body, "model", str), rules.options)
    limit = _limit(body, model, rules)
    question = read_prompt(body, rules, model)
    question.limit = limit
    stops = typed(body.get("stop_sequences") or [], "stop_sequences", list)
    question.stops = tuple(typed(stop, "stop_sequences", str) for stop in stops)
    question.reasoning = _thinking(body, limit, rules)
    sampling(body, rules)
    if body.get("stream") and rules.in_batch:
        raise bad("stream: streaming is not supported in a batch")
    if rules.in_batch:
        for name in NOT_IN_BATCH & body.keys():
            raise bad(f"{name}: not supported in a batch")
    check_known(body, KNOWN | NOT_IN_BATCH)
    return question


def read_prompt(body: Body, rules: Rules, model: models.Model) -> Question:
    """Check what is asked, without how it is to be answered: all that counting tokens needs."""
    question = Question(model.name, cache_tokens=model.cache_tokens)
    _read_tools(question, body)
    _read_format(question, body)
    if body.get("system"):
        question.system = read_content(question, body["system"], "system", "system", rules)
    messages = need(body, "messages", list)
    if not messages:
        raise bad("messages: at least one message is required")
    for number, message in enumerate(messages):
        _read_message(question, message, f"messages.{number}", rules)
    mark(question, body, "")
    if question.tokens > rules.options.context_tokens:
        raise bad(f"prompt is too long: {question.tokens} tokens > {rules.options.context_tokens} maximum")
    return question


def write(question: Question, turn: Turn) -> Written:
    """Answer *question*."""
    thought = think(question, str(turn.options.seed), turn.twist)
    cached, write_5m, write_1h = _cached(question, turn)
    usage = Usage(question.tokens, cached, write_5m, write_1h, thought.tokens, thought.reasoning)
    body = {
        "id": f"msg_01{letters(turn.mark[:40], 22)}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": _content(thought, turn),
        "stop_reason": STOP[thought.stop],
        "stop_sequence": thought.sequence,
        "stop_details": None,
        "usage": usage_of(usage, turn.tier),
    }
    if thought.stop == "refusal":
        body["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return Written(body, usage)


def usage_of(usage: Usage, tier: str) -> dict[str, Any]:
    """Write *usage* with this vendor's names: ``input_tokens`` counts the uncached ones only (FACTS §2.4)."""
    return {
        "input_tokens": usage.fresh,
        "cache_creation_input_tokens": usage.write_5m + usage.write_1h,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.write_5m,
            "ephemeral_1h_input_tokens": usage.write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": tier,
        "inference_geo": "global",
    }


def _content(thought: Thought, turn: Turn) -> list[dict[str, Any]]:
    if thought.stop == "refusal":
        return []
    blocks: list[dict[str, Any]] = []
    if thought.reasoning:
        blocks.append({"type": "thinking", "thinking": "", "signature": turn.mark})
    if thought.tool:
        call_id = f"toolu_01{letters(turn.mark[20:60], 22)}"
        blocks.append({"type": "tool_use", "id": call_id, "name": thought.tool.name, "input": thought.arguments or {}})
    elif thought.text:
        blocks.append({"type": "text", "text": thought.text})
    return blocks


def _cached(question: Question, turn: Turn) -> tuple[int, int, int]:
    """Return the tokens read from the cache, and written to it for 5 minutes and for an hour."""
    if not turn.options.cache or not question.breakpoints:
        return 0, 0, 0
    read = reached = size = done = 0
    written = {False: 0, True: 0}
    state = hashlib.blake2b(question.model.encode(), digest_size=16)
    for point in question.breakpoints:
        for part in question.parts[done : point.parts]:
            state.update(part.encode("utf-8", "surrogatepass") + b"\x1f")
            size += count_bytes(part)
        done = point.parts
        tokens = count_tokens(size) + point.extra_tokens
        if tokens < question.cache_tokens:
            continue
        if turn.cache.hit(state.digest(), turn.now, _SECONDS[point.long]):
            # Whatever a shorter prefix would have written is part of what this one reads.
            read, written = tokens, {False: 0, True: 0}
        else:
            written[point.long] += tokens - reached
        reached = tokens
    return read, written[False], written[True]


def _limit(body: Body, model: models.Model, rules: Rules) -> int:
    limit: int = need(body, "max_tokens", int)
    most = model.max_tokens
    if rules.in_batch and model.long_output and models.LONG_OUTPUT_BETA in rules.betas:
        most = models.LONG_OUTPUT_TOKENS
    if limit > most:
        raise bad(
            f"max_tokens: {limit} is greater than the maximum allowed number of output tokens for {model.name}, {most}"
        )
    if limit < 0 or (limit == 0 and rules.in_batch):
        raise bad("max_tokens: Input should be greater than or equal to 1")
    return limit


def _thinking(body: Body, limit: int, rules: Rules) -> int:
    """Return the tokens to be spent on thinking."""
    thinking = body.get("thinking")
    if thinking is None:
        return 0
    kinds = ("enabled", "disabled", "adaptive", "between_tools")
    kind = one_of(need(typed(thinking, "thinking", dict), "type", str, path="thinking."), "thinking.type", kinds)
    if kind == "enabled":
        budget = need(thinking, "budget_tokens", int, path="thinking.enabled.")
        if budget < 1_024:
            raise bad("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= limit:
            raise bad("`max_tokens` must be greater than `thinking.budget_tokens`")
    return rules.options.reasoning_tokens if kind in ("enabled", "adaptive") else 0


def _read_tools(question: Question, body: Body) -> None:
    found = []
    for number, tool in enumerate(typed(body.get("tools") or [], "tools", list)):
        where = f"tools.{number}"
        typed(tool, where, dict)
        name = need(tool, "name", str, path=f"{where}.custom.")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
            raise bad(f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if tool.get("type", "custom") == "custom":
            schema = need(tool, "input_schema", dict, path=f"{where}.custom.")
            if schema.get("type") != "object":
                raise bad(f"{where}.custom.input_schema.type: Input should be 'object'")
            check_wellformed(schema, f"{where}.custom.input_schema")
            found.append(Tool(name, schema, str(tool.get("description") or "")))
        question.parts.append(msgspec.json.encode(tool).decode())
        mark(question, tool, where)
    names = [tool.name for tool in found]
    if len(set(names)) < len(names):
        raise bad("tools: Tool names must be unique.")
    question.tools = tuple(found)
    question.tool_choice = _tool_choice(body, names)


def _tool_choice(body: Body, names: list[str]) -> str:
    choice = body.get("tool_choice")
    if choice is None:
        return "auto"
    kinds = ("auto", "any", "tool", "none")
    kind = one_of(need(typed(choice, "tool_choice", dict), "type", str, path="tool_choice."), "tool_choice.type", kinds)
    if kind != "none" and not body.get("tools"):
        raise bad("tool_choice: tool_choice may only be specified while providing tools.")
    if kind == "tool":
        name: str = need(choice, "name", str, path="tool_choice.tool.")
        if name not in names:
            raise bad(f"tool_choice.tool.name: Tool '{name}' not found in provided tools")
        return name
    return {"auto": "auto", "any": "required", "none": "none"}[kind]


def _read_format(question: Question, body: Body) -> None:
    config = typed(body.get("output_config") or {}, "output_config", dict)
    if config.get("effort") is not None:
        one_of(config["effort"], "output_config.effort", ("low", "medium", "high", "xhigh", "max"))
    form = config.get("format")
    if form is None:
        return
    where = "output_config.format"
    one_of(need(typed(form, where, dict), "type", str, path=f"{where}."), f"{where}.type", ("json_schema",))
    question.schema = need(form, "schema", dict, path=f"{where}.")
    check_wellformed(question.schema, f"{where}.schema")
    check_schema(question.schema, f"{where}.schema")
    question.parts.append(msgspec.json.encode(question.schema).decode())


def _read_message(question: Question, message: Any, where: str, rules: Rules) -> None:
    typed(message, where, dict)
    role = one_of(need(message, "role", str, path=f"{where}."), f"{where}.role", ("user", "assistant"))
    content = need(message, "content", str, list, path=f"{where}.")
    if not content and role == "user":
        raise bad(f"{where}: user messages must have non-empty content")
    text = read_content(question, content, f"{where}.content", role, rules)
    if role == "user":
        question.text = text or question.text
