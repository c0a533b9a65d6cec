"""What Anthropic refuses at once, and what fails a single request when its turn comes."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import anthropic
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.emulator.anthropic.scanner import Scanner
from tests.emulator.conftest import anthropic_batch, anthropic_rows, message, raw

PATH = "/v1/messages/batches"
PNG = base64.b64encode(b"\x89PNG\r\n").decode()


def with_id(custom_id: Any) -> dict[str, Any]:
    return {**message(1), "custom_id": custom_id}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"{", "not valid JSON", id="no JSON"),
        pytest.param(b"[]", "not valid JSON", id="no object"),
        pytest.param(b"", "not valid JSON", id="nothing"),
        pytest.param(b'{"requests":[]}x', "not valid JSON", id="more than JSON"),
        pytest.param({}, "requests: Field required", id="no requests"),
        pytest.param({"requests": 1}, "requests: Input should be a valid list", id="requests is no list"),
        pytest.param({"requests": []}, "requests: List should have at least 1 item", id="empty list"),
        pytest.param({"requests": [message(1)], "x": 1}, "x: Extra inputs are not permitted", id="a stranger"),
        pytest.param({"requests": [1]}, "requests.0: Input should be an object", id="no object inside"),
        pytest.param({"requests": [message(1), {"params": {}}]}, "requests.1.custom_id: Field required", id="no id"),
        pytest.param({"requests": [with_id(7)]}, "requests.0.custom_id: Input should be a valid string", id="number"),
        pytest.param(
            {"requests": [with_id("x" * 65)]},
            "requests.0.custom_id: String should have at most 64 characters",
            id="long id",
        ),
        pytest.param({"requests": [with_id("")]}, "requests.0.custom_id: String should have at least 1", id="empty id"),
        pytest.param({"requests": [with_id("a b")]}, "requests.0.custom_id: String should match pattern", id="space"),
        pytest.param({"requests": [message(1), message(1)]}, "requests.1.custom_id: custom_id must be", id="twice"),
        pytest.param({"requests": [{"custom_id": "a"}]}, "requests.0.params: Field required", id="no params"),
        pytest.param({"requests": [{"custom_id": "a", "params": []}]}, "requests.0.params: Input should", id="a list"),
        pytest.param({"requests": [{**message(1), "x": 1}]}, "requests.0.x: Extra inputs", id="a stranger inside"),
        pytest.param({"requests": [message(n) for n in range(6)]}, "requests: List should have at most 5", id="six"),
    ],
)
def test_a_bad_envelope_is_refused_at_once(emulator: Emulator, body: Any, text: str) -> None:
    emulator.set_options(anthropic_max_requests=5)
    data = body.replace(b"[]}x", b"[" + json.dumps(message(1)).encode() + b"]}x") if isinstance(body, bytes) else body
    status, _, answer = raw(emulator, "POST", PATH, data, vendor="anthropic")
    document = json.loads(answer)

    assert (status, document["type"], document["error"]["type"]) == (400, "error", "invalid_request_error")
    assert document["error"]["message"].startswith(text) or text in document["error"]["message"]
    assert document["request_id"].startswith("req_")
    assert emulator.bill()["batches"] == []


def test_ids_of_64_characters_and_batches_of_the_full_size_are_accepted(
    emulator: Emulator, ant: anthropic.Anthropic
) -> None:
    emulator.set_options(anthropic_max_requests=5)

    assert anthropic_batch(ant, [with_id("x" * 64)]).request_counts.processing == 1
    assert anthropic_batch(ant, 5).request_counts.processing == 5


def test_a_body_that_is_too_large_is_a_413(emulator: Emulator) -> None:
    emulator.set_options(anthropic_max_bytes=1_000)
    body = json.dumps({"requests": [message(1, "x" * 2_000)]}).encode()
    status, _, answer = raw(emulator, "POST", PATH, body, vendor="anthropic")
    assert (status, json.loads(answer)["error"]["type"]) == (413, "request_too_large")

    exact = json.dumps({"requests": [message(1)]}).encode()
    assert raw(emulator, "POST", PATH, exact + b" " * (1_000 - len(exact)), vendor="anthropic")[0] == 200


def content(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def source(kind: str, **fields: Any) -> dict[str, Any]:
    return content({"type": kind, "source": fields})


def text(marker: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": "x", **({"cache_control": marker} if marker else {})}


def form(schema: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


SCHEMA = "output_config.format.schema"
EPHEMERAL = {"type": "ephemeral"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}

BAD_PARAMS = [
    pytest.param({"max_tokens": None}, "max_tokens: Field required", id="no max_tokens"),
    pytest.param({"max_tokens": 0}, "max_tokens: Input should be greater", id="pre-warming in a batch"),
    pytest.param({"max_tokens": 128_001}, "max_tokens: 128001 is greater than", id="too many tokens"),
    pytest.param({"max_tokens": "9"}, "max_tokens: Input should be a valid integer", id="tokens as text"),
    pytest.param({"messages": None}, "messages: Field required", id="no messages"),
    pytest.param({"messages": []}, "messages: at least one message is required", id="empty messages"),
    pytest.param({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role: Input should be", id="role"),
    pytest.param({"messages": [{"role": "user", "content": ""}]}, "messages.0: user messages must have", id="silence"),
    pytest.param(content({"type": "text", "text": ""}), "messages.0.content.0.text: text content", id="empty text"),
    pytest.param(content({"type": "smell"}), "messages.0.content.0.type: Input should be", id="unknown block"),
    pytest.param({"stream": True}, "stream: ", id="streaming"),
    pytest.param({"colour": "red"}, "colour: Extra inputs are not permitted", id="a stranger"),
    pytest.param({"speed": "fast"}, "speed: not supported in a batch", id="fast mode"),
    pytest.param({"temperature": 0}, "temperature: Extra inputs", id="temperature"),
    pytest.param({"top_p": 0.5}, "top_p: Extra inputs", id="top_p"),
    pytest.param({"top_k": 5}, "top_k: Extra inputs", id="top_k"),
    pytest.param(
        source("image", type="base64", media_type="image/bmp", data=PNG),
        "messages.0.content.0.source.base64.media_type: Input should be",
        id="a bitmap",
    ),
    pytest.param(
        source("image", type="base64", media_type="image/png", data="!"),
        "messages.0.content.0.source.base64: Invalid base64",
        id="bad base64",
    ),
    pytest.param(source("image", type="url", url="ftp://x"), "messages.0.content.0.source.url", id="bad url"),
    pytest.param(source("image", type="file", file_id="file_x"), "messages.0.content.0.source.file", id="no file"),
    pytest.param(source("document", type="base64", media_type="text/html", data=PNG), "messages.0", id="no pdf"),
    pytest.param(
        {"messages": [{"role": "assistant", "content": source("document", type="url", url="https://a")["messages"][0]["content"]}]},
        "messages.0.content.0: document blocks are not permitted",
        id="document by the assistant",
    ),
    pytest.param(content({**text(), "citations": [{}]}), "messages.0.content.0.citations", id="citations by the user"),
    pytest.param(content(*[text(EPHEMERAL)] * 5), "A maximum of 4 blocks with cache_control", id="five breakpoints"),
    pytest.param(content(text({"type": "ephemeral", "ttl": "2h"})), "messages.0.content.0.cache_control.ttl", id="ttl"),
    pytest.param(
        content(text(EPHEMERAL), text({"type": "ephemeral", "ttl": "1h"})),
        "messages.0.content.1.cache_control.ttl: a ttl='1h' cache_control block must not come after",
        id="the longer ttl last",
    ),
    pytest.param({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required", id="no input_schema"),
    pytest.param({"tools": [{**TOOL, "name": "a b"}]}, "tools.0.custom.name: String should match", id="tool name"),
    pytest.param({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique", id="one tool twice"),
    pytest.param({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.tool.name", id="tool"),
    pytest.param({"tool_choice": {"type": "any"}}, "tool_choice: ", id="a choice of nothing"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.enabled.budget_tokens", id="budget"),
    pytest.param({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "`max_tokens` must be", id="all thought"),
    pytest.param({"output_config": {"effort": "some"}}, "output_config.effort: Input should be", id="effort"),
    pytest.param(form({"type": "object"}), f"{SCHEMA}: For 'object' type", id="open object"),
    pytest.param(form(closed(a={"type": "integer", "minimum": 1})), f"{SCHEMA}: For 'integer'", id="minimum"),
    pytest.param(form(closed(a={"type": "array", "minItems": 2})), f"{SCHEMA}: For 'array'", id="items"),
    pytest.param(content({"type": "text", "text": "x" * 4_001}), "prompt is too long", id="too long"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), BAD_PARAMS)
def test_bad_params_are_an_errored_result(
    emulator: Emulator, ant: anthropic.Anthropic, change: dict[str, Any], says: str
) -> None:
    emulator.set_options(context_tokens=1_000)
    bad = message("bad", **change)
    bad["params"] = {key: value for key, value in bad["params"].items() if value is not None}
    batch = anthropic_batch(ant, [message("good"), bad])
    emulator.advance(3_600)
    rows = anthropic_rows(ant, batch.id)

    assert rows["row-good"].type == "succeeded"
    assert rows["row-bad"].type == "errored"
    assert rows["row-bad"].error.error.type == "invalid_request_error"
    assert rows["row-bad"].error.error.message.startswith(says)


GOOD_PARAMS = [
    pytest.param({"system": "Be brief."}, id="system"),
    pytest.param({"system": [text({"type": "ephemeral", "ttl": "1h"})]}, id="cached system"),
    pytest.param(content(*[text(EPHEMERAL)] * 4), id="four breakpoints"),
    pytest.param({"cache_control": EPHEMERAL}, id="automatic caching"),
    pytest.param(source("image", type="base64", media_type="image/png", data=PNG), id="image inline"),
    pytest.param(source("image", type="url", url="https://example.com/a.png"), id="image by url"),
    pytest.param(source("document", type="base64", media_type="application/pdf", data=PNG), id="pdf"),
    pytest.param(source("document", type="text", media_type="text/plain", data="words"), id="text document"),
    pytest.param({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, id="thinking"),
    pytest.param(form(closed(a={"type": "string", "format": "date"})), id="schema"),
    pytest.param({"tools": [TOOL], "tool_choice": {"type": "none"}}, id="tool unused"),
    pytest.param({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, id="server tool"),
    pytest.param({"metadata": {"user_id": "me"}, "stop_sequences": ["STOP"], "inference_geo": "us"}, id="params"),
]


@pytest.mark.parametrize("change", GOOD_PARAMS)
def test_good_params_are_answered(emulator: Emulator, ant: anthropic.Anthropic, change: dict[str, Any]) -> None:
    batch = anthropic_batch(ant, [message("good", **change)])
    emulator.advance(3_600)

    row = anthropic_rows(ant, batch.id)["row-good"]
    assert row.type == "succeeded", row
    assert row.message.stop_reason == "end_turn"


def test_the_older_api_version_still_takes_a_temperature(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    requests = [message("mild", temperature=0.5, top_k=5), message("hot", temperature=2)]
    batch = anthropic_batch(ant, requests, anthropic_version="2023-06-01")
    emulator.advance(3_600)
    rows = anthropic_rows(ant, batch.id)

    assert rows["row-mild"].type == "succeeded"
    assert rows["row-hot"].error.error.message == "temperature: Input should be less than or equal to 1"


def test_the_beta_for_long_answers_applies_to_batches(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    requests = [message("long", model="claude-opus-5-5", max_tokens=300_000), message("other", max_tokens=300_000)]
    batch = anthropic_batch(ant, requests, anthropic_beta="output-300k-2026-03-24")
    emulator.advance(3_600)
    rows = anthropic_rows(ant, batch.id)

    assert (rows["row-long"].type, rows["row-other"].type) == ("succeeded", "errored")


def test_an_uploaded_file_may_be_named_in_a_request(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    file = ant.files.upload(file=("a.png", b"\x89PNG", "image/png"))
    assert ant.files.retrieve_metadata(file.id).size_bytes == 4
    batch = anthropic_batch(ant, [message(1, **source("image", type="file", file_id=file.id))])
    emulator.advance(3_600)
    assert anthropic_rows(ant, batch.id)["row-1"].type == "succeeded"

    ant.files.delete(file.id)
    assert list(ant.files.list()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(values=st.lists(JSON, min_size=1, max_size=6), window=st.integers(1, 40), indent=st.sampled_from([None, 2]))
def test_values_are_cut_out_whatever_the_window(values: list[Any], window: int, indent: int | None) -> None:
    scanner = Scanner(io.BytesIO(json.dumps(values, indent=indent).encode()), window)
    scanner.take(b"[")
    found = [scanner.value()]
    while scanner.take(b",", b"]") == b",":
        found.append(scanner.value())

    assert [json.loads(value) for value in found] == values
    assert scanner.peek() == b""


@pytest.mark.parametrize("document", [b'["abc', b'[{"a"', b"[tru", b'[{"a":}]', b"[nope]"])
def test_a_document_that_is_cut_or_wrong_is_malformed(document: bytes) -> None:
    scanner = Scanner(io.BytesIO(document), 3)
    scanner.take(b"[")

    with pytest.raises(msgspec.DecodeError):
        scanner.value()
