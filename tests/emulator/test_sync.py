"""The synchronous endpoints: keys, shapes, limits and headers."""

from __future__ import annotations

import json
import math
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo
from anthropic.types.organization import OrganizationRateLimit
from openai.types import Completion, CreateEmbeddingResponse, Model, ModerationCreateResponse
from openai.types.admin.organization.projects import ProjectRateLimit
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import CHAT, chat_body, conform, raw

ASK = {"model": "claude-haiku-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Say something."}]}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def post(emulator: Emulator, path: str, body: Any, vendor: str = "openai") -> Any:
    status, _, answer = raw(emulator, "POST", path, body, vendor=vendor)
    assert status == 200, answer
    return json.loads(answer)


SOL = {"model": "gpt-6-sol"}

OPENAI_ANSWERS = [
    pytest.param(CHAT, chat_body(n=2, stop="asked"), ChatCompletion, id="chat"),
    pytest.param(
        CHAT,
        chat_body(tools=[{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]),
        ChatCompletion,
        id="chat with a tool",
    ),
    pytest.param("/v1/responses", {**SOL, "input": "Hello?", "instructions": "Be brief."}, Response, id="responses"),
    pytest.param(
        "/v1/responses",
        {
            "model": "gpt-6-sol",
            "input": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": "https://example.com/a.png"},
                    ],
                },
            ],
            "tools": [{"type": "function", "name": "weather", "parameters": WEATHER}],
        },
        Response,
        id="responses with a tool",
    ),
    pytest.param("/v1/responses", {**SOL, "input": "x" * 99, "max_output_tokens": 16}, Response, id="cut"),
    pytest.param(
        "/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"]}, CreateEmbeddingResponse, id="embed"
    ),
    pytest.param("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": ["a", "b"]}, Completion, id="old"),
    pytest.param("/v1/moderations", {"input": ["Hello", "I will kill you"]}, ModerationCreateResponse, id="moderation"),
    pytest.param("/v1/moderations", {"input": [{"type": "text", "text": "Hi"}]}, ModerationCreateResponse, id="parts"),
]  # fmt: skip


@pytest.mark.parametrize("reasoning", [0, 8])
@pytest.mark.parametrize(("path", "body", "model"), OPENAI_ANSWERS)
def test_openai_answers_conform_to_the_sdk(
    emulator: Emulator, path: str, body: dict[str, Any], model: Any, reasoning: int
) -> None:
    emulator.set_options(reasoning_tokens=reasoning)

    conform(model, post(emulator, path, body))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="text"),
        pytest.param({"thinking": {"type": "adaptive"}}, id="thinking"),
        pytest.param({"tools": [{"name": "weather", "input_schema": WEATHER}]}, id="tool"),
        pytest.param({"output_config": {"format": {"type": "json_schema", "schema": WEATHER}}}, id="schema"),
        pytest.param({"max_tokens": 1}, id="cut"),
        pytest.param({"stop_sequences": ["asked"]}, id="stop sequence"),
    ],
)
def test_anthropic_answers_conform_to_the_sdk(emulator: Emulator, change: dict[str, Any]) -> None:
    emulator.set_options(reasoning_tokens=8)

    conform(Message, post(emulator, "/v1/messages", {**ASK, **change}, "anthropic"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "end_turn"),
        ({"max_tokens": 1}, "max_tokens"),
        ({"stop_sequences": ["asked"]}, "stop_sequence"),
        ({"tools": [{"name": "weather", "input_schema": WEATHER}]}, "tool_use"),
    ],
)
def test_the_stop_reason_says_why(ant: anthropic.Anthropic, change: dict[str, Any], reason: str) -> None:
    answer = ant.messages.create(**{**ASK, **change})

    assert answer.stop_reason == reason


def test_count_tokens_agrees_with_the_usage(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    prompt: dict[str, Any] = {"system": "Be brief. Grüße.", "tools": [{"name": "weather", "input_schema": WEATHER}]}
    counted = post(
        emulator,
        "/v1/messages/count_tokens",
        {"model": ASK["model"], "messages": ASK["messages"], **prompt},
        "anthropic",
    )
    conform(MessageTokensCount, counted)

    assert ant.messages.create(**{**ASK, **prompt}).usage.input_tokens == counted["input_tokens"]


def test_embeddings_have_length_one_and_depend_on_the_text_alone(oai: openai.OpenAI) -> None:
    def embed(text: str, **more: Any) -> list[float]:
        return (
            oai.embeddings.create(model="text-embedding-3-small", input=text, dimensions=64, **more).data[0].embedding
        )

    first, second = embed("one"), embed("two")
    assert len(first) == 64
    assert first != second
    assert math.isclose(sum(x * x for x in first), 1, rel_tol=1e-6)
    assert embed("one") == first
    assert embed("one", encoding_format="float") == pytest.approx(first, abs=1e-7)
    whole = oai.embeddings.create(model="text-embedding-3-large", input="one")
    assert len(whole.data[0].embedding) == 3_072


def test_embeddings_count_the_tokens_of_all_inputs(oai: openai.OpenAI) -> None:
    usage = oai.embeddings.create(model="text-embedding-3-small", input=["one", "three"]).usage

    assert usage.prompt_tokens == usage.total_tokens == 3


def test_a_tool_is_called_with_arguments_that_fit(oai: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    answer = oai.chat.completions.create(**chat_body("How is the weather in Oslo?", tools=[tool]))
    [call] = answer.choices[0].message.tool_calls or []
    assert answer.choices[0].finish_reason == "tool_calls"
    assert list(json.loads(call.function.arguments)) == ["city"]  # type: ignore[union-attr]

    refused = oai.chat.completions.create(**chat_body("How is it?", tools=[tool], tool_choice="none"))
    assert refused.choices[0].message.tool_calls is None


def test_a_tool_result_is_put_into_words(oai: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = oai.chat.completions.create(model="gpt-6-luna", messages=messages, tools=[tool])  # type: ignore[arg-type]

    assert answer.choices[0].message.content


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "Basic x"}, {"authorization": "Bearer "}])
def test_openai_wants_a_key(emulator: Emulator, headers: dict[str, str]) -> None:
    status, _, body = raw(emulator, "GET", "/v1/models", **headers)

    assert status == 401
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_anthropic_wants_a_key(emulator: Emulator) -> None:
    status, headers, body = raw(emulator, "GET", "/v1/messages/batches", vendor="anthropic", authorization="")

    assert status == 401
    assert json.loads(body)["error"]["type"] == "authentication_error"
    assert headers["request-id"] == json.loads(body)["request_id"]
    assert raw(emulator, "GET", "/v1/messages/batches", vendor="anthropic", authorization="", x_api_key="k")[0] == 200


def test_a_wrong_key_is_refused(emulator: Emulator) -> None:
    def status(key: str, vendor: str = "openai") -> int:
        return raw(emulator, "GET", "/v1/models", vendor=vendor, authorization=f"Bearer {key}")[0]

    assert status("wrong-key") == 401
    assert status("wrong-key", "anthropic") == 401
    emulator.set_options(keys=["right"])
    assert (status("any"), status("right"), status("right", "anthropic")) == (401, 200, 200)


@pytest.mark.parametrize("version", ["", "1999-01-01"])
def test_anthropic_wants_a_version_it_knows(emulator: Emulator, version: str) -> None:
    status, _, body = raw(emulator, "GET", "/v1/messages/batches", vendor="anthropic", anthropic_version=version)

    assert status == 400
    assert b"anthropic-version" in body


@pytest.mark.parametrize(("vendor", "shape"), [("openai", {"error"}), ("anthropic", {"type", "error", "request_id"})])
def test_an_unknown_path_is_a_404_in_the_vendors_words(emulator: Emulator, vendor: str, shape: set[str]) -> None:
    for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/models")):
        status, _, body = raw(emulator, method, path, vendor=vendor)
        assert status == 404
        assert set(json.loads(body)) == shape


def test_models_are_told_apart_by_the_version_header(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.set_options(models=["acme-1"])
    ours, theirs = list(oai.models.list()), list(ant.models.list(limit=5))
    for model in ours:
        conform(Model, model.model_dump())
    conform(ModelInfo, json.loads(raw(emulator, "GET", "/v1/models/claude-opus-5-5", vendor="anthropic")[2]))

    assert {"gpt-6-luna", "acme-1"} <= {model.id for model in ours}
    assert {"claude-haiku-5-5", "acme-1"} <= {model.id for model in theirs}
    assert ant.models.retrieve("claude-opus-5-5").capabilities.batch.supported  # type: ignore[union-attr]
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("gpt-0")
    with pytest.raises(anthropic.NotFoundError):
        ant.models.retrieve("claude-0")


LIMITS = {
    "openai": ("/v1/organization/projects/proj_1/rate_limits", "sk-admin-any"),
    "anthropic": ("/v1/organizations/rate_limits?group_type=batch", "sk-ant-admin-any"),
}


def read_limits(emulator: Emulator, vendor: str, more: str = "", **headers: str) -> tuple[int, Any]:
    path, key = LIMITS[vendor]
    sent = {"authorization": f"Bearer {key}", **headers}
    status, _, answer = raw(emulator, "GET", path + more, vendor=vendor, **sent)
    return status, json.loads(answer)


def test_admins_can_read_the_batch_limits(emulator: Emulator) -> None:
    emulator.set_options(enqueued_tokens={"gpt-6-luna": 90_000}, queued_requests=1_234)
    ours = read_limits(emulator, "openai")[1]["data"]
    theirs = read_limits(emulator, "anthropic")[1]
    for entry in ours:
        conform(ProjectRateLimit, entry)
    conform(OrganizationRateLimit, theirs["data"][0])

    assert {entry["model"]: entry.get("batch_1_day_max_input_tokens") for entry in ours}["gpt-6-luna"] == 90_000
    assert {"type": "enqueued_batch_requests", "value": 1_234} in theirs["data"][0]["limits"]


@pytest.mark.parametrize(("vendor", "status"), [("openai", 403), ("anthropic", 401)])
def test_nobody_else_can(emulator: Emulator, vendor: str, status: int) -> None:
    assert read_limits(emulator, vendor, authorization="Bearer sk-any")[0] == status


def test_openais_limits_come_in_pages(emulator: Emulator) -> None:
    whole = read_limits(emulator, "openai")[1]["data"]
    first = read_limits(emulator, "openai", "?limit=30")[1]
    second = read_limits(emulator, "openai", f"?limit=30&after={first['last_id']}")[1]

    assert (len(first["data"]), first["has_more"], second["has_more"]) == (30, True, False)
    assert first["data"] + second["data"] == whole


def test_openai_limits_are_told_in_headers_and_enforced(emulator: Emulator) -> None:
    emulator.set_options(rpm=2, tpm=1_000)
    first, second, third = (raw(emulator, "POST", CHAT, chat_body(max_completion_tokens=100)) for _ in range(3))

    assert (first[1]["x-ratelimit-limit-requests"], first[1]["x-ratelimit-remaining-requests"]) == ("2", "1")
    assert int(second[1]["x-ratelimit-remaining-tokens"]) < int(first[1]["x-ratelimit-remaining-tokens"]) < 900
    assert (first[0], second[0], third[0]) == (200, 200, 429)
    assert json.loads(third[2])["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(third[1]["retry-after"]) <= 30
    emulator.advance(30)
    assert raw(emulator, "POST", CHAT, chat_body())[0] == 200


def test_openai_refuses_more_tokens_than_a_minute_has(emulator: Emulator) -> None:
    emulator.set_options(tpm=1_000)
    assert raw(emulator, "POST", CHAT, chat_body(max_completion_tokens=900))[0] == 200
    status, _, body = raw(emulator, "POST", CHAT, chat_body(max_completion_tokens=900))

    assert (status, json.loads(body)["error"]["type"]) == (429, "tokens")


def test_anthropic_limits_are_told_in_headers_and_enforced(emulator: Emulator) -> None:
    emulator.set_options(rpm=1, tpm=1_000)
    first = raw(emulator, "POST", "/v1/messages", ASK, vendor="anthropic")
    second = raw(emulator, "POST", "/v1/messages", ASK, vendor="anthropic")

    assert first[1]["anthropic-ratelimit-requests-remaining"] == "0"
    assert int(first[1]["anthropic-ratelimit-output-tokens-remaining"]) == 1_000 - 64
    assert first[1]["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert (second[0], json.loads(second[2])["error"]["type"]) == (429, "rate_limit_error")
    assert 1 <= int(second[1]["retry-after"]) <= 60


def test_without_limits_there_are_no_limit_headers(emulator: Emulator) -> None:
    assert not [name for name in raw(emulator, "POST", CHAT, chat_body())[1] if "ratelimit" in name]


@pytest.mark.parametrize(
    ("path", "body", "vendor"),
    [
        (CHAT, b"{", "openai"),
        (CHAT, b"[1]", "openai"),
        (CHAT, chat_body(stream=True), "openai"),
        ("/v1/responses", {"model": "gpt-6-sol", "input": "x", "previous_response_id": "resp_1"}, "openai"),
        ("/v1/responses", {"model": "gpt-6-sol", "input": "x", "max_output_tokens": 15}, "openai"),
        ("/v1/responses", {"model": "gpt-6-sol", "input": []}, "openai"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ""}, "openai"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a"] * 2_049}, "openai"),
        ("/v1/embeddings", {"model": "text-embedding-ada-002", "input": "a", "dimensions": 2}, "openai"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a", "dimensions": 1_537}, "openai"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "word " * 9_000}, "openai"),
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": [1]}, "openai"),
        ("/v1/moderations", {"input": []}, "openai"),
        ("/v1/moderations", {}, "openai"),
        ("/v1/messages", b"{", "anthropic"),
        ("/v1/messages", {**ASK, "stream": True}, "anthropic"),
        ("/v1/messages/count_tokens", {**ASK}, "anthropic"),
    ],
)  # fmt: skip
def test_a_bad_body_is_a_400(emulator: Emulator, path: str, body: Any, vendor: str) -> None:
    assert raw(emulator, "POST", path, body, vendor=vendor)[0] == 400
    assert emulator.bill()["total"]["sync_calls_billed"] == 0


def test_an_unknown_model_is_a_404(oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        oai.chat.completions.create(**chat_body(model="gpt-0"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        ant.messages.create(**{**ASK, "model": "claude-0"})


def test_synchronous_calls_are_billed(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    chat = oai.chat.completions.create(**chat_body())
    answer = ant.messages.create(**ASK)
    bill = emulator.bill()

    assert chat.usage
    assert bill["by_vendor"]["openai"]["sync_tokens"]["input"] == chat.usage.prompt_tokens
    assert bill["by_vendor"]["anthropic"]["sync_tokens"]["output"] == answer.usage.output_tokens
    assert answer.usage.service_tier == "standard"
    assert bill["total"]["sync_calls_billed"] == 2
    assert bill["total"]["requests_billed"] == 0
