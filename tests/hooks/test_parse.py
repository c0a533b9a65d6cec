"""What came back for one request, line by line."""

import json
from pathlib import Path

import pytest

from airflow_provider_llmbatch.core.results import NO_USAGE, Usage

WIRE = Path(__file__).parents[1] / "golden" / "wire"
CHAT_USAGE = Usage(input=1200, cached_input=1024, output=45, reasoning=20)


def lines(name):
    return (WIRE / f"{name}.jsonl").read_bytes().splitlines()


def good(output, finish_reason, model, usage):
    return {"status": "succeeded", "output": output, "finish_reason": finish_reason, "model": model, "usage": usage}


def bad(status, code, remedy, **more):
    return {"status": status, "error_code": code, "remedy": remedy, "usage": NO_USAGE} | more


EXPECTED = {
    "openai-results": [
        good("positive", "stop", "gpt-6-luna-2026-10-01", CHAT_USAGE),
        good(
            "Rayleigh scattering.",
            "completed",
            "gpt-6-sol",
            Usage(input=2006, cached_input=1000, cache_write=900, output=300, reasoning=200),
        ),
        good([0.01, -0.02], None, "text-embedding-3-small", Usage(input=2)),
        bad(
            "errored",
            "unsupported_value",
            "change",
            error_message="Unsupported value: 'temperature' does not support 999.",
        ),
        bad("errored", "insufficient_quota", "budget"),
        bad("errored", "server_error", "retry"),
        bad("expired", "batch_expired", "retry"),
        bad("cancelled", "batch_cancelled", "retry"),
        bad("errored", "http_200", "retry"),
        bad("errored", "http_0", "retry"),
    ],
    "look-alike-results": [bad("errored", "400", "change", error_message="bad request")],
    "anthropic-results": [
        good("positive", "end_turn", "claude-haiku-5-5", Usage(input=5021, cached_input=5000, output=4)),
        bad("errored", "refusal", "never", usage=Usage(input=900, output=1), finish_reason="refusal", output=None),
        bad("errored", "invalid_request_error", "change"),
        bad("errored", "api_error", "retry", error_message="Internal server error"),
        bad("cancelled", "canceled", "retry"),
        bad("expired", "expired", "retry"),
    ],
}


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        pytest.param(name, number, expected, id=f"{name}-{number}")
        for name, table in EXPECTED.items()
        for number, expected in enumerate(table)
    ],
)
def test_a_result_line_is_read(bench, name, number, expected):
    hook = bench("anthropic" if name.startswith("anthropic") else "openai").hook

    result = hook.parse(lines(name)[number])

    assert {field: getattr(result, field) for field in expected} == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_every_golden_line_is_tested(name):
    assert len(lines(name)) == len(EXPECTED[name])


# -- Anthropic -------------------------------------------------------------------------------------------------------


def anthropic(bench, result):
    return bench("anthropic").hook.parse(json.dumps({"custom_id": "x", "result": result}).encode())


def message(*content, stop_reason="end_turn", **usage):
    body = {"model": "m", "content": list(content), "stop_reason": stop_reason, "usage": {"input_tokens": 5, **usage}}
    return {"type": "succeeded", "message": body}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            message({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
            {"status": "succeeded", "output": "ab", "thinking": None, "tool_calls": None},
            id="several-texts",
        ),
        pytest.param(
            message({"type": "text", "text": "I ca"}, stop_reason="refusal"),
            {"status": "errored", "output": "I ca", "error_code": "refusal", "remedy": "never"},
            id="refusal-in-the-middle",
        ),
        pytest.param(
            message(
                cache_read_input_tokens=100,
                cache_creation_input_tokens=30,
                cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                output_tokens=7,
                output_tokens_details={"thinking_tokens": 3},
            ),
            {"usage": Usage(input=135, cached_input=100, cache_write=30, cache_write_1h=20, output=7, reasoning=3)},
            id="every-kind-of-token",
        ),
        pytest.param(message(cache_read_input_tokens=None), {"usage": Usage(input=5)}, id="null-tokens"),
        pytest.param({"type": "succeeded", "message": {"content": []}}, {"usage": NO_USAGE, "output": ""}, id="bare"),
    ],
)
def test_a_message_is_read(bench, result, expected):
    found = anthropic(bench, result)

    assert {field: getattr(found, field) for field in expected} == expected


def errored(type_, text="No", **more):
    return {"type": "errored", "error": {"type": "error", "error": {"type": type_, "message": text, **more}}}


@pytest.mark.parametrize(
    ("result", "code", "remedy"),
    [
        pytest.param(errored("overloaded_error"), "overloaded_error", "retry", id="by-type"),
        pytest.param(
            errored("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            *("enforced_spend_limit_reached", "budget"),
            id="by-code",
        ),
        pytest.param(
            errored("invalid_request_error", details={"error_code": "a_code_of_tomorrow"}),
            *("a_code_of_tomorrow", "change"),
            id="an-unknown-code-is-no-more-than-its-type",
        ),
        pytest.param(
            errored("invalid_request_error", "You have reached your specified API usage limits. You will regain"),
            *("billing_error", "budget"),
            id="a-spend-limit-in-disguise",
        ),
        pytest.param(errored("overloaded_error", details=None), "overloaded_error", "retry", id="null-details"),
        pytest.param({"type": "errored", "error": None}, "unknown", "retry", id="no-error"),
        pytest.param({"type": "a word of tomorrow"}, "unknown", "retry", id="unknown-type"),
    ],
)
def test_an_errored_line_is_told_by_code_and_then_by_type(bench, result, code, remedy):
    found = anthropic(bench, result)

    assert (found.status, found.error_code, found.remedy) == ("errored", code, remedy)


def test_no_key_gets_into_a_row(bench, vendor):
    hook = bench(vendor).hook
    key = hook.settings.api_key
    problem = {"type": "x", "message": f"Incorrect API key provided: {key}."}
    line = {
        "openai": {"response": {"status_code": 401, "body": {"error": problem}}},
        "anthropic": {"result": {"type": "errored", "error": {"error": problem}}},
    }[vendor]

    assert hook.parse(json.dumps(line).encode()).error_message == "Incorrect API key provided: ***."
