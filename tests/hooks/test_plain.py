"""The quick way to read a good answer: it reads the ordinary ones, and nothing that ``parse`` reads otherwise."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings

CHAT = {
    "id": "batch_req_1",
    "custom_id": "0123456789-1-7",
    "response": {
        "status_code": 200,
        "body": {
            "object": "chat.completion",
            "model": "gpt-6-luna",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "good", "refusal": None},
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        },
    },
    "error": None,
}
RESPONSE = {
    "custom_id": "0123456789-1-7",
    "response": {
        "status_code": 200,
        "body": {
            "object": "response",
            "model": "gpt-6-sol",
            "status": "completed",
            "incomplete_details": None,
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "good"}]},
            ],
            "usage": {
                "input_tokens": 12,
                "output_tokens": 3,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens_details": {"reasoning_tokens": 1},
            },
        },
    },
}
MESSAGE = {
    "custom_id": "0123456789-1-7",
    "result": {
        "type": "succeeded",
        "message": {
            "model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": "good"}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 12,
                "output_tokens": 3,
                "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 2,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
                "service_tier": "batch",
            },
        },
    },
}
ORDINARY = {
    "chat": (OpenAIBatchHook, CHAT),
    "response": (OpenAIBatchHook, RESPONSE),
    "message": (AnthropicBatchHook, MESSAGE),
}
WORDS = [
    "",
    "text",
    "stop",
    "length",
    "tool_calls",
    "end_turn",
    "max_tokens",
    "incomplete",
    "tool_use",
    "errored",
    "batch",
    "standard",
]
VALUES = [None, True, 0, -1, 1.5, 2**70, [], {}, ["text"], {"type": "text", "text": "more"}, [{"type": "text"}]]
OTHERWISE = st.sampled_from([*WORDS, *VALUES]).map(copy.deepcopy) | st.text()


def hook(kind: type) -> Any:
    made = kind("not_read")
    made.settings = Settings(api_key="sk-plain")
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in *value*."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in inside for place in places(item, (*path, name)))]


@pytest.mark.parametrize("kind", ORDINARY)
def test_an_ordinary_answer_is_read_quickly(kind):
    cls, line = ORDINARY[kind]
    encoded = json.dumps(line).encode()

    assert hook(cls).read_plain(encoded) == (line["custom_id"], hook(cls).parse(encoded))


@pytest.mark.parametrize("kind", ORDINARY)
@given(data=st.data())
def test_what_is_read_quickly_is_what_parse_reads(kind, data):
    cls, ordinary = ORDINARY[kind]
    line = copy.deepcopy(ordinary)
    for _ in range(data.draw(st.integers(1, 3))):
        inside = [place for place in places(line)[1:] if place[0] != "custom_id"]
        if not inside:
            break
        *path, last = data.draw(st.sampled_from(inside))
        at = line
        for step in path:
            at = at[step]
        change = data.draw(st.sampled_from(["replace", "remove", "add", "double"]))
        if change == "replace":
            at[last] = data.draw(OTHERWISE)
        elif change == "remove":
            del at[last]
        elif change == "double" and isinstance(at, list):
            at.append(copy.deepcopy(at[last]))
        elif isinstance(at, dict):
            names = ["tool_calls", "function_call", "reasoning", "reasoning_content", "refusal", "error", "content"]
            at[data.draw(st.sampled_from([*names, "finish_reason", "status", "type", "summary"]))] = data.draw(
                OTHERWISE
            )
    encoded = json.dumps(line).encode()

    found = hook(cls).read_plain(encoded)

    assert found is None or found == (line["custom_id"], hook(cls).parse(encoded))


@pytest.mark.parametrize("line", [b"", b"{", b"null", b"\xff", b'{"custom_id": "x"}', b"[" * 100_000])
@pytest.mark.parametrize("cls", [OpenAIBatchHook, AnthropicBatchHook])
def test_anything_else_is_left_to_parse(cls, line):
    assert hook(cls).read_plain(line) is None
