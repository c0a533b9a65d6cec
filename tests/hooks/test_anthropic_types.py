"""Every body that is made for Anthropic is one that its SDK's own request types know, to the last key."""

import json
from typing import Any

import pytest
from anthropic.types.messages.batch_create_params import Request
from pydantic import TypeAdapter, ValidationError

from airflow_provider_llmbatch.core.requests import Change
from tests.hooks.asks import ANTHROPIC, ASKS, anthropic, encode, encode_own, make, user

STRANGERS = {"params", "body", "params over body", "bound in the body", "asked by the body"}
"""Asks with parameters that are other vendors', or a temperature, which the types of newer SDKs do not name any more:
what a user writes is sent as it is."""
CHANGES = {
    "same": Change(),
    "model": Change(model="claude-opus-5-5"),
    "bound": Change(max_tokens=8192),
    "turns": Change(turns=[{"role": "assistant", "content": '{"score": 9}'}, user("A score is 5 at most.")]),
}


def known(request: dict[str, Any]) -> Any:
    """Return what the SDK's types make of *request*: a key that they do not know is gone."""
    adapter = TypeAdapter(Request)
    return json.loads(adapter.dump_json(adapter.validate_python(request)))


@pytest.mark.parametrize(
    "line",
    [pytest.param(encode_own(name), id=name) for name in ANTHROPIC]
    + [pytest.param(encode("anthropic-messages", name), id=name) for name in ASKS if name not in STRANGERS],
)
class TestARequest:
    def test_is_one_that_the_sdk_knows(self, line):
        request = json.loads(line)

        assert known(request) == request

    @pytest.mark.parametrize("change", CHANGES)
    def test_is_still_one_when_it_is_asked_otherwise(self, line, change):
        request = json.loads(anthropic().revise("id-2", line, CHANGES[change]).line)

        assert known(request) == request


@pytest.mark.parametrize(
    "parts",
    [
        {"params": {"no_such_parameter": 1}},
        {"messages": [user([{"type": "text", "text": "a", "no_such_key": 1}])]},
        {"params": {"tools": [{"name": "a", "input_schema": {"type": "object"}, "parameters": {}}]}},
    ],
    ids=["in the params", "in a block", "in a tool"],
)
def test_a_key_that_the_sdk_does_not_know_would_be_seen(parts):
    request = json.loads(anthropic().encode("id-1", make({"messages": [user("a")]} | parts), None).line)

    try:
        found = known(request)
    except ValidationError:
        found = None
    assert found != request
