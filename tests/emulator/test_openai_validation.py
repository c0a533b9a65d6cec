"""What fails a whole OpenAI batch, and what fails one line of it."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import chat_body, jsonl, openai_batch, openai_line, openai_rows

PNG = base64.b64encode(b"\x89PNG\r\n").decode()


def embed(number: int, count: int = 1) -> dict[str, Any]:
    body = {"model": "text-embedding-3-small", "input": ["word"] * count, "dimensions": 2}
    return openai_line(number, body, url="/v1/embeddings")


@pytest.mark.parametrize(
    ("lines", "code", "at"),
    [
        pytest.param([], "empty_file", None, id="no line"),
        pytest.param([openai_line(1), b"{"], "invalid_json_line", 2, id="no JSON"),
        pytest.param([openai_line(1), b"", openai_line(2)], "invalid_json_line", 2, id="a blank line"),
        pytest.param([b"\xef\xbb\xbf" + jsonl([openai_line(1)]).strip()], "invalid_json_line", 1, id="a BOM"),
        pytest.param([b"[1]"], "invalid_json_line", 1, id="no object"),
        pytest.param([openai_line(1), openai_line(1)], "duplicate_custom_id", 2, id="one id twice"),
        pytest.param([openai_line(1), openai_line(2, url="/v1/responses")], "url_mismatch", 2, id="another url"),
        pytest.param([openai_line(1, method="GET")], "invalid_method", 1, id="another method"),
        pytest.param([openai_line(1, custom_id=None)], "missing_required_parameter", 1, id="no id"),
        pytest.param([openai_line(1, custom_id=7)], "invalid_request", 1, id="an id that is no text"),
        pytest.param([openai_line(1, {"messages": []})], "missing_required_parameter", 1, id="no model"),
        pytest.param(
            [openai_line(1), openai_line(2, chat_body(model="gpt-6-sol"))], "mismatched_model", 2, id="two models"
        ),
        pytest.param([openai_line(1, chat_body(model="gpt-0"))], "model_not_found", 1, id="no such model"),
        pytest.param([openai_line(number) for number in range(6)], "too_many_tasks", None, id="too many lines"),
    ],
)
def test_one_bad_line_fails_the_batch(
    emulator: Emulator, oai: openai.OpenAI, lines: list[Any], code: str, at: int | None
) -> None:
    emulator.set_options(openai_max_requests=5)
    batch = openai_batch(oai, lines)
    assert batch.status == "validating"
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.errors
    [error] = batch.errors.data or []
    assert (error.code, error.line) == (code, at)
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert batch.request_counts
    assert batch.request_counts.total == 0
    assert emulator.bill()["total"]["requests_billed"] == 0


def test_as_many_lines_as_allowed_are_accepted(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(openai_max_requests=5)
    batch = openai_batch(oai, 5)
    emulator.advance(3_600)

    assert oai.batches.retrieve(batch.id).status == "completed"


def test_all_bad_lines_are_reported_up_to_a_hundred(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, [b"{"] * 150)
    emulator.advance(3_600)
    errors = oai.batches.retrieve(batch.id).errors

    assert errors
    assert [error.line for error in errors.data or []] == list(range(1, 101))


def test_embedding_inputs_count_over_all_lines(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(openai_max_embedding_inputs=5)
    fits = openai_batch(oai, [embed(1, 2), embed(2, 3)], endpoint="/v1/embeddings")
    overflows = openai_batch(oai, [embed(1, 3), embed(2, 3)], endpoint="/v1/embeddings")
    emulator.advance(3_600)

    assert oai.batches.retrieve(fits.id).status == "completed"
    errors = oai.batches.retrieve(overflows.id).errors
    assert errors
    assert [error.code for error in errors.data or []] == ["too_many_tasks"]


def test_the_queue_of_a_model_holds_so_many_tokens_and_is_released_at_the_end(
    emulator: Emulator, oai: openai.OpenAI
) -> None:
    emulator.set_options(enqueued_tokens={"gpt-6-luna": 10})
    [tokens] = [-(-len("Question 0?") // 4)]
    first, second = openai_batch(oai, 3), openai_batch(oai, 3)
    emulator.advance(360)
    assert tokens * 3 <= 10 < tokens * 6
    assert oai.batches.retrieve(first.id).status == "in_progress"
    failed = oai.batches.retrieve(second.id)
    assert failed.errors
    [error] = failed.errors.data or []
    assert (failed.status, error.code, error.line) == ("failed", "token_limit_exceeded", None)
    assert "Limit: 10 enqueued tokens" in (error.message or "")
    emulator.advance(3_600)

    again = openai_batch(oai, 3)
    emulator.advance(360)
    assert oai.batches.retrieve(again.id).status == "in_progress"


def test_a_queue_limit_may_be_for_every_model(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.set_options(enqueued_tokens={"*": 1})
    batch = openai_batch(oai, 3)
    emulator.advance(360)

    assert oai.batches.retrieve(batch.id).status == "failed"


def content(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def form(schema: Any, *, strict: bool = True, name: str = "answer") -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": strict, "schema": schema}}


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

BAD_CHAT = [
    pytest.param({"messages": None}, "missing_required_parameter", id="no messages"),
    pytest.param({"messages": []}, "empty_array", id="empty messages"),
    pytest.param({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", id="unknown role"),
    pytest.param({"messages": [{"role": "user"}]}, "invalid_type", id="no content"),
    pytest.param({"messages": ["x"]}, "invalid_type", id="a message that is no object"),
    pytest.param({"messages": [{"role": "tool", "content": "x"}]}, "missing_required_parameter", id="no tool_call_id"),
    pytest.param({"messages": content({"type": "smell"})}, "invalid_value", id="unknown part"),
    pytest.param(
        {"messages": content({"type": "image_url", "image_url": {"url": "x.png"}})}, "invalid_image_url", id="bad url"
    ),
    pytest.param(
        {"messages": content({"type": "image_url", "image_url": {"url": "data:text/html;base64,AAAA"}})},
        "unsupported_image_media_type",
        id="not an image",
    ),
    pytest.param(
        {"messages": content({"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}})},
        "invalid_base64_image",
        id="bad base64",
    ),
    pytest.param(
        {"messages": content({"type": "file", "file": {"file_id": "file-x"}})}, "file_not_found", id="unknown file"
    ),
    pytest.param({"temperature": 2.1}, "unsupported_value", id="too hot"),
    pytest.param({"temperature": "0"}, "invalid_type", id="temperature as text"),
    pytest.param({"max_tokens": 5}, "unsupported_parameter", id="max_tokens for a reasoning model"),
    pytest.param({"max_completion_tokens": 0}, "integer_below_min_value", id="no room to answer"),
    pytest.param({"max_completion_tokens": 10**6}, "integer_above_max_value", id="too much room"),
    pytest.param({"max_completion_tokens": True}, "invalid_type", id="a boolean is no number"),
    pytest.param({"maximum_tokens": 5}, "unknown_parameter", id="a stranger"),
    pytest.param({"stream": True}, "unsupported_value", id="streaming"),
    pytest.param({"stop": list("abcde")}, "array_above_max_length", id="five stops"),
    pytest.param({"response_format": {"type": "xml"}}, "invalid_value", id="unknown format"),
    pytest.param({"response_format": {"type": "json_object"}}, "invalid_value", id="JSON unasked for"),
    pytest.param({"response_format": form({"type": "array"})}, "invalid_json_schema", id="root is no object"),
    pytest.param(
        {"response_format": form({**STRICT, "additionalProperties": True})}, "invalid_json_schema", id="open object"
    ),
    pytest.param({"response_format": form({**STRICT, "required": []})}, "invalid_json_schema", id="optional property"),
    pytest.param(
        {"response_format": form({**STRICT, "properties": {"a": {"type": "object"}}})},
        "invalid_json_schema",
        id="open object inside",
    ),
    pytest.param({"response_format": form(STRICT, name="a b")}, "invalid_value", id="bad schema name"),
    pytest.param({"tools": [{"type": "function", "function": {}}]}, "missing_required_parameter", id="nameless tool"),
    pytest.param({"tools": [TOOL], "tool_choice": "maybe"}, "invalid_value", id="unknown tool choice"),
    pytest.param(
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        "invalid_value",
        id="unknown tool",
    ),
    pytest.param({"messages": [{"role": "user", "content": "x" * 4_001}]}, "context_length_exceeded", id="too long"),
]


@pytest.mark.parametrize(("change", "code"), BAD_CHAT)
def test_a_bad_chat_body_fails_its_own_line_only(
    emulator: Emulator, oai: openai.OpenAI, change: dict[str, Any], code: str
) -> None:
    emulator.set_options(context_tokens=1_000)
    body = {key: value for key, value in {**chat_body(), **change}.items() if value is not None}
    batch = openai_batch(oai, [openai_line("good"), openai_line("bad", body)])
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    [good] = openai_rows(oai, batch.output_file_id)
    [bad] = openai_rows(oai, batch.error_file_id)
    assert (good["custom_id"], bad["custom_id"]) == ("row-good", "row-bad")
    assert bad["response"]["status_code"] == 400
    error = bad["response"]["body"]["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}


WORD = {"type": "text", "text": "word"}


def image(url: str) -> list[dict[str, Any]]:
    return content({"type": "image_url", "image_url": {"url": url}})


def pdf(**file: str) -> list[dict[str, Any]]:
    return content({"type": "file", "file": file}, WORD)


GOOD_CHAT = [
    pytest.param({"messages": [{"role": "developer", "content": "Be brief."}, *content(WORD)]}, id="instructions"),
    pytest.param({"messages": image("https://example.com/a.png")}, id="image by url"),
    pytest.param({"messages": image(f"data:image/png;base64,{PNG}")}, id="image inline"),
    pytest.param({"messages": pdf(filename="a.pdf", file_data=f"data:application/pdf;base64,{PNG}")}, id="pdf"),
    pytest.param({"temperature": 0, "seed": 1, "user": "me", "reasoning_effort": "low"}, id="params"),
    pytest.param({"metadata": {"a": "b"}, "store": True}, id="metadata"),
    pytest.param({"response_format": form(STRICT)}, id="schema"),
    pytest.param({"response_format": form({"type": "object"}, strict=False)}, id="loose schema"),
    pytest.param({"model": "ft:gpt-4o-mini:acme::1", "max_tokens": 50}, id="fine-tuned"),
    pytest.param({"model": "gpt-4o-mini-2024-07-18"}, id="dated snapshot"),
]  # fmt: skip


@pytest.mark.parametrize("change", GOOD_CHAT)
def test_a_good_chat_body_is_answered(emulator: Emulator, oai: openai.OpenAI, change: dict[str, Any]) -> None:
    batch = openai_batch(oai, [openai_line("good", {**chat_body(), **change})])
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)

    assert batch.error_file_id is None
    [row] = openai_rows(oai, batch.output_file_id)
    assert row["response"]["body"]["choices"][0]["finish_reason"] == "stop"


def test_an_uploaded_file_may_be_named_in_a_request(emulator: Emulator, oai: openai.OpenAI) -> None:
    file = oai.files.create(file=("a.pdf", b"%PDF"), purpose="user_data")
    body = chat_body(
        messages=content({"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": "Sum up."})
    )
    batch = openai_batch(oai, [openai_line("good", body)])
    emulator.advance(3_600)

    assert oai.batches.retrieve(batch.id).error_file_id is None
