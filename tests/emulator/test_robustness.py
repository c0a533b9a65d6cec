"""No body is so odd that it ends in anything but an answer or an error in the vendor's words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.emulator import Emulator, Options
from airflow_provider_llmbatch.emulator.anthropic import messages
from airflow_provider_llmbatch.emulator.anthropic import params as anthropic_params
from airflow_provider_llmbatch.emulator.ids import digest
from airflow_provider_llmbatch.emulator.openai import params as openai_params
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS, Endpoint
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from airflow_provider_llmbatch.emulator.wire import ApiError
from tests.emulator.conftest import (
    CHAT,
    anthropic_batch,
    anthropic_rows,
    chat_body,
    openai_batch,
    openai_rows,
    raw,
)

NUMBERS = {"type": "array", "items": {"enum": [1]}}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "b": NUMBERS},
    "required": ["a", "b"],
    "additionalProperties": False,
}
NAMED = {"name": "n", "strict": True, "schema": SCHEMA}
FUNCTION = {"name": "f", "parameters": SCHEMA, "description": "d"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TEXT = {"type": "text", "text": "x"}
LOOK = [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "https://x"}]
OPENAI = [
    (
        "/v1/chat/completions",
        {
            "model": "gpt-6-luna",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [TEXT, IMAGE]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "x"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": NAMED},
            "max_completion_tokens": 50,
            "stop": ["x"],
            "metadata": {"a": "b"},
            "n": 2,
        },
    ),
    (
        "/v1/responses",
        {
            "model": "gpt-6-sol",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": LOOK},
                {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
                {"type": "function_call_output", "call_id": "1", "output": "x"},
            ],
            "text": {"format": {"type": "json_schema", **NAMED}},
            "tools": [{"type": "function", **FUNCTION}],
            "max_output_tokens": 50,
        },
    ),
    ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 4}),
    ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": ["a"], "max_tokens": 5, "stop": "x", "n": 1}),
    ("/v1/moderations", {"input": [TEXT, IMAGE]}),
]
CACHED = {**TEXT, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
PICTURE = {"type": "image", "source": {"type": "url", "url": "https://x"}}
ANTHROPIC = {
    "model": "claude-haiku-5-5",
    "max_tokens": 50,
    "system": [CACHED],
    "messages": [
        {"role": "user", "content": [CACHED, PICTURE]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [TEXT]}]},
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA, "description": "d"}],
    "tool_choice": {"type": "auto"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "thinking": {"type": "adaptive"},
    "stop_sequences": ["x"],
}

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "x", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
few = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every part of *value*."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, inner in items for deeper in paths(inner, (*path, key)))]


def damaged(data: st.DataObject, body: dict[str, Any]) -> Any:
    """Return *body* with one or two of its parts replaced or removed."""
    body = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(paths(body)[1:]))
        holder: Any = body
        for key in way:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[last] = data.draw(odd)
        elif isinstance(holder, dict):
            del holder[last]
        if len(paths(body)) == 1:
            break
    return body


def settle(answer: Callable[[], Any]) -> Any:
    """Return the body of the answer, or of the refusal."""
    try:
        return answer().body
    except ApiError as error:
        return error.body("req_1")


@few
@given(data=st.data(), which=st.sampled_from(OPENAI), in_batch=st.booleans())
def test_openai_answers_or_refuses_in_its_own_words(
    data: st.DataObject, which: tuple[str, dict[str, Any]], in_batch: bool
) -> None:
    path, body = which
    read, write = ENDPOINTS[path].read, ENDPOINTS[path].write
    rules = openai_params.Rules(Options(), lambda _: False, in_batch)
    turn = openai_params.Turn(Options(cache=True), PromptCache(), digest(1), 0.0, 0)
    odd_body = damaged(data, body)

    msgspec.json.encode(settle(lambda: write(read(odd_body, rules), turn)))


@few
@given(data=st.data(), version=st.sampled_from(["2023-06-01", "2026-10-21"]), in_batch=st.booleans())
def test_anthropic_answers_or_refuses_in_its_own_words(data: st.DataObject, version: str, in_batch: bool) -> None:
    rules = anthropic_params.Rules(Options(), lambda _: False, in_batch, version)
    turn = anthropic_params.Turn(Options(cache=True), PromptCache(), digest(1), 0.0, "batch")
    odd_body = damaged(data, ANTHROPIC)

    msgspec.json.encode(settle(lambda: messages.write(messages.read(odd_body, rules), turn)))


def test_a_mistake_of_our_own_fails_one_row_or_call_and_is_logged(
    emulator: Emulator,
    oai: openai.OpenAI,
    ant: anthropic.Anthropic,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stumble(body: Any, *_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(ENDPOINTS, CHAT, Endpoint("openai.chat.completions.create", stumble, stumble))
    monkeypatch.setattr(messages, "read", stumble)
    ours, theirs = openai_batch(oai, 1), anthropic_batch(ant, 1)
    emulator.advance(3_600)

    [row] = openai_rows(oai, oai.batches.retrieve(ours.id).error_file_id)
    assert row["response"]["status_code"] == 500
    assert anthropic_rows(ant, theirs.id)["row-0"].error.error.type == "api_error"
    with pytest.raises(openai.InternalServerError):
        oai.chat.completions.create(**chat_body())
    assert caplog.text.count("A mistake of the emulator's own") == 3


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("vendor", "path", "body"),
    [
        ("openai", CHAT, b'{"messages":' + DEEP),
        ("anthropic", "/v1/messages", b'{"messages":' + DEEP),
        ("anthropic", "/v1/messages/batches", b'{"requests":' + DEEP),
    ],
)
def test_a_body_that_is_nested_too_deeply_is_a_400(emulator: Emulator, vendor: str, path: str, body: bytes) -> None:
    assert raw(emulator, "POST", path, body, vendor=vendor)[0] == 400


def test_a_line_that_is_nested_too_deeply_fails_the_batch(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, [DEEP + b"]" * 100_000])
    emulator.advance(3_600)

    assert oai.batches.retrieve(batch.id).status == "failed"
