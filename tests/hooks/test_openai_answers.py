"""What OpenAI's endpoints answer, read: text, calls, thoughts, vectors and verdicts, with what was paid for."""

import base64
import json
import struct
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.results import NO_USAGE, Result, ToolCall, Usage
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.params import Rules, Turn
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from airflow_provider_llmbatch.hooks._openai_answers import read_answer
from tests.hooks.asks import OPENAI, openai_request
from tests.hooks.conftest import KEY


def parse(bench, body, *, status=200, error=None):
    line = {"custom_id": "x", "response": {"status_code": status, "body": body}, "error": error}
    return bench("openai").hook.parse(json.dumps(line).encode())


def is_read_as(result, expected):
    return {field: getattr(result, field) for field in expected} == expected


def good(**more):
    return {"status": "succeeded", "error_code": None, "error_message": None, "remedy": "none"} | more


def cut(output, **more):
    return {"status": "invalid", "error_code": "truncated", "remedy": "change", "output": output} | more


def no(code, remedy, **more):
    return {"status": "errored", "error_code": code, "remedy": remedy} | more


# -- chat ------------------------------------------------------------------------------------------------------------


def chat(message, finish_reason="stop"):
    return {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }


def function(arguments, **more):
    return {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def called(arguments):
    return [ToolCall("call_1", "f", arguments)]


ODD_FACTS = {"model": True, "usage": {"prompt_tokens": 5, "completion_tokens": "2", "total_tokens": None}}
NO_CHOICE = {"object": "chat.completion", "model": "m", "choices": [], "usage": {"prompt_tokens": 5}}
CHATS = {
    "text": (chat({"content": "a"}), good(output="a", finish_reason="stop", tool_calls=None, thinking=None)),
    "empty text": (chat({"content": ""}), good(output="")),
    "no object": ({**chat({"content": "a"}), "object": None}, good(output="a")),
    "no choice": (NO_CHOICE, no("empty", "retry", output=None)),
    "no message": ({**NO_CHOICE, "choices": [{"message": {}}]}, no("empty", "retry")),
    "call": (
        chat({"content": None, "tool_calls": [function('{"a": 1}')]}, "tool_calls"),
        good(output=None, tool_calls=called({"a": 1}), finish_reason="tool_calls"),
    ),
    "call and text": (
        chat({"content": "Wait.", "tool_calls": [function("{}")]}, "tool_calls"),
        good(output="Wait.", tool_calls=called({})),
    ),
    "calls in order": (
        chat({"tool_calls": [function('{"a": 1}'), function("[]", id="call_2")]}, "tool_calls"),
        good(tool_calls=[*called({"a": 1}), ToolCall("call_2", "f", [])]),
    ),
    "call that is no JSON": (
        chat({"tool_calls": [function('{"a": ')]}, "tool_calls"),
        good(tool_calls=called('{"a": ')),
    ),
    "call nested too deep": (chat({"tool_calls": [function("[" * 9999)]}), good(tool_calls=called("[" * 9999))),
    "call of a free text": (
        chat({"tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "1 + 1"}}]}),
        good(tool_calls=called("1 + 1")),
    ),
    "call in the older words": (
        chat({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
        good(tool_calls=[ToolCall(None, "f", {})]),
    ),
    "empty call": (chat({"tool_calls": [{}]}), good(tool_calls=[ToolCall(None, "", None)])),
    "thinking": (chat({"content": "a", "reasoning_content": "hm"}), good(output="a", thinking="hm")),
    "thinking elsewhere": (chat({"content": "a", "reasoning": "hm"}), good(output="a", thinking="hm")),
    "thinking in parts": (chat({"content": "a", "reasoning": {"text": "hm"}}), good(output="a", thinking=None)),
    "cut": (chat({"content": "a"}, "length"), cut("a", finish_reason="length")),
    "cut before the first word": (chat({"content": ""}, "length"), cut(None)),
    "cut while thinking": (chat({"content": None, "reasoning": "h"}, "length"), cut(None, thinking="h")),
    "cut JSON": (chat({"content": '{"a": [1, 2'}, "length"), cut('{"a": [1, 2')),
    "whole JSON before the cut": (chat({"content": '{"a": 1}\n \n'}, "length"), good(output='{"a": 1}\n \n')),
    "cut number": (chat({"content": "12"}, "length"), cut("12")),
    "cut call": (
        chat({"content": None, "tool_calls": [function('{"a": "b')]}, "length"),
        cut(None, tool_calls=called('{"a": "b')),
    ),
    "whole call before the cut": (
        chat({"content": None, "tool_calls": [function('{"a": "b"}')]}, "length"),
        good(tool_calls=called({"a": "b"})),
    ),
    "refusal": (
        chat({"content": None, "refusal": "I cannot."}),
        no("refusal", "never", output="I cannot.", error_message="I cannot."),
    ),
    "content filter": (
        chat({"content": ""}, "content_filter"),
        no("content_filter", "never", output=None, error_message="The content filter stopped the answer."),
    ),
    "content filter in the middle": (
        chat({"content": "I ca"}, "content_filter"),
        no("content_filter", "never", output="I ca"),
    ),
}


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_answer_is_read(bench, name):
    body, expected = CHATS[name]

    result = parse(bench, body)

    assert is_read_as(result, expected)
    assert (result.model, result.usage.input) == ("m", 5), "what was billed is counted, whatever the answer"


# -- responses -------------------------------------------------------------------------------------------------------


def response(status="completed", *items, **more):
    return {
        "object": "response",
        "model": "m",
        "status": status,
        "error": None,
        "output": [{"type": "reasoning", "content": None, "summary": []}, *items],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    } | more


def message(*parts):
    return {"type": "message", "content": list(parts)}


def text(value):
    return {"type": "output_text", "text": value}


def call(arguments, **more):
    return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": arguments, **more}


def thought(*texts, **more):
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": value} for value in texts], **more}


TRUNCATED = {"incomplete_details": {"reason": "max_output_tokens"}}
RESPONSES = {
    "parts": (
        response("completed", message(text("a"), text("b"))),
        good(output="ab", finish_reason="completed", tool_calls=None, thinking=None),
    ),
    "no object": ({**response("completed", message(text("a"))), "object": None}, good(output="a")),
    "no status": ({**response("completed", message(text("a"))), "status": None}, good(output="a")),
    "no output": ({**response(), "output": None}, good(output="")),
    "call": (response("completed", call('{"a": 1}')), good(output=None, tool_calls=called({"a": 1}))),
    "call and text": (
        response("completed", message(text("Wait.")), call("{}")),
        good(output="Wait.", tool_calls=called({})),
    ),
    "call of a free text": (
        response("completed", {"type": "custom_tool_call", "call_id": "call_1", "name": "f", "input": "1 + 1"}),
        good(tool_calls=called("1 + 1")),
    ),
    "a tool of the vendor's": (
        response("completed", {"type": "web_search_call", "status": "completed"}, message(text("a"))),
        good(output="a", tool_calls=None),
    ),
    "thinking": (
        response("completed", thought("First.", "Then."), thought("Last."), message(text("a"))),
        good(output="a", thinking="First.\n\nThen.\n\nLast."),
    ),
    "thinking of an open model": (
        response("completed", thought(content=[{"type": "reasoning_text", "text": "hm"}]), message(text("a"))),
        good(output="a", thinking="hm"),
    ),
    "cut": (
        response("incomplete", message(text("a")), **TRUNCATED),
        cut("a", finish_reason="max_output_tokens"),
    ),
    "cut while thinking": (response("incomplete", **TRUNCATED), cut(None)),
    "whole JSON before the cut": (response("incomplete", message(text("[1]\n")), **TRUNCATED), good(output="[1]\n")),
    "whole call before the cut": (response("incomplete", call("{}"), **TRUNCATED), good(tool_calls=called({}))),
    "cut call": (response("incomplete", call('{"a'), **TRUNCATED), cut(None, tool_calls=called('{"a'))),
    "content filter": (
        response("incomplete", message(text("I ca")), incomplete_details={"reason": "content_filter"}),
        no("content_filter", "never", output="I ca"),
    ),
    "stopped otherwise": (
        response("incomplete", message(text("a")), incomplete_details={"reason": "max_messages"}),
        no("max_messages", "retry", output="a", finish_reason="max_messages"),
    ),
    "stopped without a reason": (
        response("incomplete", message(text("a"))),
        no("incomplete", "retry", output="a", finish_reason="incomplete"),
    ),
    "refusal": (
        response("completed", message({"type": "refusal", "refusal": "I cannot."})),
        no("refusal", "never", output="I cannot.", error_message="I cannot."),
    ),
    "failed by the server": (
        response("failed", error={"code": "server_error", "message": "Oops"}),
        no("server_error", "retry", error_message="Oops"),
    ),
    "failed by the prompt": (
        response("failed", error={"code": "invalid_prompt", "message": "No"}),
        no("invalid_prompt", "never"),
    ),
    "failed by an image": (
        response("failed", error={"code": "image_too_large", "message": "No"}),
        no("image_too_large", "change"),
    ),
    "failed in the middle": (response("failed", message(text("a"))), no("failed", "retry", output="a")),
    "cancelled": (response("cancelled"), no("cancelled", "retry")),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_an_answer_of_the_responses_endpoint_is_read(bench, name):
    body, expected = RESPONSES[name]

    result = parse(bench, body)

    assert is_read_as(result, expected)
    assert result.usage == Usage(input=5, output=2), "what was billed is counted, whatever the answer"


# -- completions, embeddings, moderations ----------------------------------------------------------------------------


def completion(*choices):
    found = [{"index": number, "text": text, "finish_reason": why} for number, (text, why) in enumerate(choices)]
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"object": "text_completion", "model": "m", "choices": found, "usage": usage}


def vectors(*embeddings):
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(embeddings)]
    return {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}}


def moderation(*flags):
    return {"id": "modr-1", "model": "m", "results": [{"flagged": flag} for flag in flags]}


DATA = {
    "completion": (completion(("a", "stop")), good(output="a", finish_reason="stop", usage=Usage(input=5, output=2))),
    "completion of several prompts": (completion(("a", "stop"), ("b", "stop")), good(output=["a", "b"])),
    "completion that is cut": (completion(("a", "length")), cut("a")),
    "completions of which one is cut": (completion(("a", "stop"), ("b", "length")), cut(["a", "b"])),
    "completion that is filtered": (completion(("a", "content_filter")), no("content_filter", "never", output="a")),
    "completion without a choice": (completion(), no("empty", "retry")),
    "completion without a text": (completion((None, "stop")), no("empty", "retry")),
    "vector": (vectors([0.25, -1]), good(output=[0.25, -1], usage=Usage(input=5), finish_reason=None)),
    "vectors": (vectors([0.25], [0.5]), good(output=[[0.25], [0.5]])),
    "vectors in another order": (
        {**vectors(), "data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]},
        good(output=[[1.0], [2.0]]),
    ),
    "vector in base64": (vectors("AACAPgAAgL8="), good(output=[0.25, -1.0])),
    "no vector": (vectors(), no("empty", "retry", usage=Usage(input=5))),
    "moderation": (moderation(True), good(output={"flagged": True}, usage=NO_USAGE)),
    "moderations": (moderation(True, False), good(output=[{"flagged": True}, {"flagged": False}])),
    "no moderation": (moderation(), no("empty", "retry")),
}


@pytest.mark.parametrize("name", DATA)
def test_the_other_endpoints_answers_are_read(bench, name):
    body, expected = DATA[name]

    result = parse(bench, body)

    assert is_read_as(result, expected)
    assert result.model == "m"


@given(numbers=st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_a_vector_in_base64_is_the_vector(numbers):
    written = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()

    assert read_answer(vectors(written)).output == numbers


@pytest.mark.parametrize("written", ["AACAPg=", "AACA", "no base64!"], ids=["padding", "half a number", "other"])
def test_a_vector_that_is_damaged_is_no_answer(bench, written):
    """The engine makes a row of it that may be asked again."""
    with pytest.raises(ValueError):
        parse(bench, vectors(written))


# -- any line --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error", "code", "remedy"),
    [
        (503, None, None, "http_503", "retry"),
        (503, {"error": {"message": "Slow Down"}}, None, "http_503", "retry"),
        (400, {"error": {"message": "No", "type": "invalid_request_error"}}, None, "invalid_request_error", "change"),
        (404, {"error": {"message": "No", "code": "model_not_found"}}, None, "model_not_found", "never"),
        (200, {}, {"code": "server_error", "message": "Oops"}, "server_error", "retry"),
        (200, {"error": {"message": "Oops"}}, None, "empty", "retry"),
        (200, {}, None, "http_200", "retry"),
        (0, None, None, "http_0", "retry"),
    ],
)
def test_a_failed_line_is_told_by_status_and_error(bench, status, body, error, code, remedy):
    assert is_read_as(parse(bench, body, status=status, error=error), no(code, remedy))


def test_facts_of_another_type_than_they_should_have_are_left_out(bench):
    result = parse(bench, {**chat({"content": "a"}, finish_reason=5), **ODD_FACTS})

    assert is_read_as(result, good(output="a", model=None, finish_reason=None, usage=Usage(input=5)))


def test_a_line_without_any_answer_may_be_asked_again(bench):
    assert is_read_as(bench("openai").hook.parse(b'{"custom_id": "x"}'), no("http_0", "retry"))


def test_a_key_does_not_get_into_a_row_from_a_failed_response(bench):
    problem = {"code": "server_error", "message": f"Incorrect API key provided: {KEY}."}

    result = parse(bench, response("failed", error=problem))

    assert result.error_message == "Incorrect API key provided: ***."


PLACES = ["choices", "message", "content", "tool_calls", "function", "output", "results", "data", "embedding"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PLACES), inner, max_size=3),
    max_leaves=12,
)


@given(body=st.dictionaries(st.sampled_from([*PLACES, "object"]), JSON))
def test_a_body_of_any_shape_is_a_result_or_an_error_that_the_engine_knows(body):
    with suppress(AttributeError, KeyError, TypeError, ValueError, IndexError):
        assert isinstance(read_answer(body), Result)


@pytest.mark.parametrize("name", [name for name in OPENAI if name != "responses: a stored prompt"])
def test_what_the_emulator_answers_is_read(name):
    """All but one: the emulator stores no prompts."""
    request = openai_request(name)
    line = json.loads(request.line)
    read, write = ENDPOINTS[line["url"]].read, ENDPOINTS[line["url"]].write
    ask = read(line["body"], Rules(Options(), knows_file=lambda _: True, in_batch=True))
    body = write(ask, Turn(Options(), PromptCache(), mark="0" * 64, now=0.0, created=0)).body

    result = read_answer(msgspec.json.decode(msgspec.json.encode(body)))

    assert result.status == "succeeded" or result.error_code == "truncated"
    assert result.output or result.tool_calls
    assert request.inputs < 2 or len(result.output) == request.inputs
