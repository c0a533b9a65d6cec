"""Faults of single rows: which are struck, and what their lines look like."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import (
    anthropic_batch,
    anthropic_rows,
    chat_body,
    message,
    openai_batch,
    openai_line,
    openai_rows,
    raw,
)

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["label"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}


def openai_row(emulator: Emulator, oai: openai.OpenAI, fault: str, **body: Any) -> tuple[str, Any]:
    """Run one row with *fault*; return in which file it came back, and its line."""
    batch = openai_batch(oai, [openai_line(1, chat_body("I love it.", **body))], fault=f"{fault} rate=1")
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)
    where, file_id = ("output", batch.output_file_id) if batch.output_file_id else ("error", batch.error_file_id)
    return where, openai_rows(oai, file_id)[0]


def anthropic_row(emulator: Emulator, ant: anthropic.Anthropic, fault: str, **params: Any) -> Any:
    batch = anthropic_batch(ant, [message(1, "I love it.", **params)], fault=f"{fault} rate=1")
    emulator.advance(3_600)
    return anthropic_rows(ant, batch.id)["row-1"]


def results(emulator: Emulator, batch_id: str) -> list[bytes]:
    return raw(emulator, "GET", f"/v1/messages/batches/{batch_id}/results", vendor="anthropic")[2].splitlines()


@pytest.mark.parametrize(
    ("fault", "status", "code", "kind"),
    [
        ("row=server_error", 500, None, "server_error"),
        ("row=rate_limit_exceeded", 429, "rate_limit_exceeded", "requests"),
        ("row=insufficient_quota", 429, "insufficient_quota", "insufficient_quota"),
        ("row=context_length_exceeded", 400, "context_length_exceeded", "invalid_request_error"),
        ("row=overloaded_error", 529, None, "server_error"),
        ("row=error status=503", 503, None, "server_error"),
        ("row=error code=invalid_prompt", 400, "invalid_prompt", "invalid_request_error"),
    ],
)
def test_an_openai_row_may_fail(
    emulator: Emulator, oai: openai.OpenAI, fault: str, status: int, code: str | None, kind: str
) -> None:
    where, row = openai_row(emulator, oai, fault)

    assert where == "error"
    assert (row["response"]["status_code"], row["error"]) == (status, None)
    error = row["response"]["body"]["error"]
    assert (error["code"], error["type"]) == (code, kind)
    assert emulator.bill()["total"]["requests_billed"] == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("row=overloaded_error", "overloaded_error"),
        ("row=server_error", "api_error"),
        ("row=rate_limit_error details=ramp_limit_exceeded", "rate_limit_error"),
        ("row=error status=402", "billing_error"),
        ("row=context_length_exceeded", "invalid_request_error"),
    ],
)
def test_an_anthropic_row_may_fail(emulator: Emulator, ant: anthropic.Anthropic, fault: str, kind: str) -> None:
    row = anthropic_row(emulator, ant, fault)

    assert (row.type, row.error.type, row.error.error.type) == ("errored", "error", kind)
    assert emulator.bill()["total"]["requests_billed"] == 0


def test_a_row_may_be_a_refusal(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    where, row = openai_row(emulator, oai, "row=refusal")
    message = row["response"]["body"]["choices"][0]["message"]
    assert (where, message["content"]) == ("output", None)
    assert message["refusal"]

    refused = anthropic_row(emulator, ant, "row=refusal")
    assert (refused.type, refused.message.stop_reason, refused.message.content) == ("succeeded", "refusal", [])
    assert refused.message.stop_details.type == "refusal"


def test_a_row_may_be_truncated(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    _, row = openai_row(emulator, oai, "row=truncated", response_format=FORMAT)
    choice = row["response"]["body"]["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])

    assert anthropic_row(emulator, ant, "row=truncated").message.stop_reason == "max_tokens"


def test_structured_answers_may_be_invalid(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    _, row = openai_row(emulator, oai, "row=invalid_json", response_format=FORMAT)
    choice = row["response"]["body"]["choices"][0]
    assert choice["finish_reason"] == "stop"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])

    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    answer = anthropic_row(emulator, ant, "row=invalid_json", output_config=config)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.message.content[0].text)


def test_a_row_may_be_empty_or_have_no_status(emulator: Emulator, oai: openai.OpenAI) -> None:
    where, row = openai_row(emulator, oai, "row=empty")
    assert (where, row["response"]["status_code"], row["response"]["body"]) == ("output", 200, {})
    where, row = openai_row(emulator, oai, "row=status_0")
    assert (where, row["response"]["status_code"], row["response"]["body"]) == ("output", 0, None)


def test_a_single_row_may_expire(emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic) -> None:
    where, row = openai_row(emulator, oai, "row=expired")
    assert (where, row["response"], row["error"]["code"]) == ("error", None, "batch_expired")

    assert anthropic_row(emulator, ant, "row=expired").type == "expired"


def test_rows_may_be_missing_duplicated_damaged_or_accompanied(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    def lines(fault: str) -> list[bytes]:
        batch = anthropic_batch(ant, 10, fault=f"{fault} count=2")
        emulator.advance(3_600)
        return results(emulator, batch.id)

    assert len(lines("row=missing")) == 8
    doubled = lines("row=duplicated")
    assert (len(doubled), len(set(doubled))) == (12, 10)
    foreign = [json.loads(line)["custom_id"] for line in lines("row=foreign")]
    assert sum(custom_id.startswith("foreign-") for custom_id in foreign) == 2
    damaged = lines("row=damaged")
    assert sum(not line.endswith(b"}") for line in damaged) == 2
    assert emulator.bill()["total"]["requests_billed"] == 40


def test_the_same_lines_are_struck_in_openai_files(emulator: Emulator, oai: openai.OpenAI) -> None:
    batch = openai_batch(oai, 10, fault="row=foreign count=2")
    emulator.advance(3_600)
    batch = oai.batches.retrieve(batch.id)
    rows = openai_rows(oai, batch.output_file_id)

    assert len(rows) == 12
    assert batch.request_counts
    assert batch.request_counts.completed == 10


def test_rows_are_chosen_by_rate_count_index_or_text(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    def struck(fault: str, prefix: str = "a") -> list[str]:
        requests = [{**message(n, f"Text {n} here"), "custom_id": f"{prefix}-{n:03d}"} for n in range(100)]
        batch = anthropic_batch(ant, requests, fault=f"row=api_error {fault}")
        emulator.advance(3_600)
        return sorted(key for key, row in anthropic_rows(ant, batch.id).items() if row.type == "errored")

    some = struck("rate=0.3")
    assert 15 < len(some) < 45
    assert [key[1:] for key in struck("rate=0.3", "b")] == [key[1:] for key in some]
    assert len(struck("count=7")) == 7
    assert struck("index=3,99") == ["a-003", "a-099"]
    assert struck("match='Text 42 '") == ["a-042"]
    assert len(struck("rate=0.5 count=5")) == 5


def test_a_row_that_is_asked_again_may_succeed(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    emulator.fault("anthropic.batches.create", row="api_error", rate=1.0, once=True)

    def errored(*numbers: int) -> int:
        batch = anthropic_batch(ant, [message(number, f"Question {number}") for number in numbers])
        emulator.advance(3_600)
        errored: int = ant.messages.batches.retrieve(batch.id).request_counts.errored
        return errored

    assert errored(1, 2) == 2
    assert errored(1, 2, 3) == 1


def test_a_request_is_known_again_under_another_id(emulator: Emulator, oai: openai.OpenAI) -> None:
    emulator.fault("openai.batches.create", row="server_error", rate=1.0, once=True)

    def failed(custom_id: str) -> int:
        batch = openai_batch(oai, [openai_line(1, custom_id=custom_id)])
        emulator.advance(3_600)
        counts = oai.batches.retrieve(batch.id).request_counts
        assert counts
        return counts.failed

    assert failed("job-r1-1") == 1
    assert failed("job-r2-1") == 0


def test_a_batch_may_be_billed_at_the_full_price(emulator: Emulator, ant: anthropic.Anthropic) -> None:
    batch, other = anthropic_batch(ant, 1, fault="full_price"), anthropic_batch(ant, 2)
    emulator.advance(3_600)

    assert anthropic_rows(ant, batch.id)["row-0"].message.usage.service_tier == "standard"
    assert anthropic_rows(ant, other.id)["row-0"].message.usage.service_tier == "batch"
    assert {item["id"]: item["price"] for item in emulator.bill()["batches"]} == {
        batch.id: "standard",
        other.id: "batch",
    }


def test_synchronous_answers_can_be_struck_too(
    emulator: Emulator, oai: openai.OpenAI, ant: anthropic.Anthropic
) -> None:
    emulator.fault("*.create", row="refusal", rate=1.0)
    assert oai.chat.completions.create(**chat_body()).choices[0].message.refusal
    params: Any = message(1)["params"]
    assert ant.messages.create(**params).stop_reason == "refusal"
    emulator.clear_faults()
    emulator.fault("*.create", row="rate_limit_exceeded", rate=1.0)
    with pytest.raises(openai.RateLimitError):
        oai.chat.completions.create(**chat_body())
    with pytest.raises(anthropic.RateLimitError):
        ant.messages.create(**params)
