"""What would help: OpenAI's signals row by row, in the order of FACTS §1.4 and §1.6."""

import json

import openai.types.responses
import pytest

from airflow_provider_llmbatch.core.batches import Batch, BatchError
from airflow_provider_llmbatch.hooks._openai_errors import REMEDIES
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook

BATCHES = [
    ("token_limit_exceeded", "retry"),
    ("invalid_json_line", "change"),
    ("duplicate_custom_id", "change"),
    ("mismatched_model", "change"),
    ("model_mismatch", "change"),
    ("url_mismatch", "change"),
    ("invalid_url", "change"),
    ("missing_required_parameter", "change"),
    ("invalid_request", "change"),
    ("model_not_found", "never"),
    ("empty_file", "change"),
    ("too_many_tasks", "change"),
    ("billing_hard_limit_reached", "budget"),
    ("insufficient_quota", "budget"),
]
"""§1.4: codes that fail a whole batch. Nothing ran and nothing is billed."""

REQUESTS = [
    ("retry", [("rate_limit_exceeded", 429), (None, 429), (None, 408), (None, 409), ("server_error", 500)]),
    ("retry", [(None, 500), (None, 502), (None, 503), (None, 504), ("slow_down", 503)]),
    ("retry", [("batch_expired", None), ("missing", None), ("empty", None), ("batch_cancelled", None)]),
    ("budget", [("insufficient_quota", 429), ("billing_hard_limit_reached", 400), ("billing_not_active", 429)]),
    ("budget", [("organization_spend_limit_exceeded", 429), ("organization_usage_limit_exceeded", 429)]),
    ("budget", [("project_spend_limit_exceeded", 429), (None, 402)]),
    ("retry", [("token_limit_exceeded", None), ("token_limit_exceeded", 400), ("token_limit_exceeded", 429)]),
    ("change", [("context_length_exceeded", 400), ("string_above_max_length", 400), ("invalid_value", 400)]),
    ("change", [("invalid_type", 400), ("unsupported_value", 400), ("unsupported_parameter", 400)]),
    ("change", [("unknown_parameter", 400), ("invalid_json_schema", 400), ("invalid_function_parameters", 400)]),
    ("change", [("invalid_image", 400), ("invalid_image_format", 400), ("invalid_base64_image", 400)]),
    ("change", [("image_parse_error", 400), ("image_too_large", 400), ("image_too_small", 400)]),
    ("change", [("image_file_too_large", 400), ("empty_image_file", 400), ("unsupported_image_media_type", 400)]),
    ("change", [("invalid_image_mode", 400), ("image_file_not_found", 400)]),
    ("retry", [("failed_to_download_image", 400), ("invalid_image_url", 400), ("vector_store_timeout", 400)]),
    ("never", [("invalid_prompt", 400), ("bio_policy", 400), ("misalignment_policy_violation", 400)]),
    ("never", [("image_content_policy_violation", 400), ("content_filter", None), ("refusal", None)]),
    ("never", [("data_residency_mismatch", 400)]),
    ("credential", [(None, 401), ("invalid_api_key", 401), (None, 403)]),
    ("never", [("model_not_found", 404), ("model_not_found", 400), (None, 404)]),
    ("change", [(None, 413), ("truncated", None)]),
]
"""§1.6, one signal of FACTS after the other: what would help, and the codes with the statuses they come with."""

UNKNOWN = [
    ("retry", [("a_code_of_tomorrow", None), ("a_code_of_tomorrow", 500), ("a_code_of_tomorrow", 429)]),
    ("change", [("a_code_of_tomorrow", 400), ("a_code_of_tomorrow", 422)]),
    ("credential", [("a_code_of_tomorrow", 403)]),
    ("budget", [("a_code_of_tomorrow", 402)]),
    ("change", [("invalid_request_error", None), ("invalid_request_error", 400)]),
    ("credential", [("invalid_request_error", 401), ("invalid_request_error", 403)]),
    ("never", [("invalid_request_error", 404)]),
]
"""Codes that no table has, and the type that stands in for one: the status decides."""


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        pytest.param(code, status, remedy, id=f"{code}-{status}")
        for remedy, signals in [*((remedy, [(code, None)]) for code, remedy in BATCHES), *REQUESTS, *UNKNOWN]
        for code, status in signals
    ],
)
def test_remedy(code, status, remedy):
    assert OpenAIBatchHook("c").remedy(code, status) == remedy


def test_every_code_of_the_table_stands_in_facts():
    told = {code for code, _ in BATCHES} | {code for _, signals in [*REQUESTS, *UNKNOWN] for code, _ in signals}

    assert REMEDIES.keys() <= told


def test_every_code_that_the_sdk_names_for_a_failed_response_has_a_remedy():
    codes = openai.types.responses.ResponseError.model_fields["code"].annotation.__args__

    assert set(codes) <= REMEDIES.keys()


@pytest.mark.parametrize(("code", "remedy"), BATCHES)
def test_only_a_full_queue_puts_a_failed_batch_back(code, remedy):
    errors = [BatchError(code, "No.", None)]

    assert OpenAIBatchHook("c").is_queue_full(Batch(batch_id="b", status="failed", errors=errors)) is (
        code == "token_limit_exceeded"
    )
    assert not OpenAIBatchHook("c").is_queue_full(Batch(batch_id="b", status="expired", errors=errors))


@pytest.mark.parametrize(
    ("status", "problem", "code", "remedy"),
    [
        (400, {"code": "invalid_value", "type": "invalid_request_error"}, "invalid_value", "change"),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, "insufficient_quota", "budget"),
        (429, {"code": None, "type": "tokens"}, "tokens", "retry"),
        (401, {"code": None, "type": "invalid_request_error"}, "invalid_request_error", "credential"),
        (500, {"code": None, "type": "server_error"}, "server_error", "retry"),
        (413, {"message": "Too large."}, "http_413", "change"),
    ],
)
def test_a_failed_line_tells_its_code_else_its_type_else_its_status(bench, status, problem, code, remedy):
    line = {"custom_id": "x", "response": {"status_code": status, "body": {"error": problem}}, "error": None}

    result = bench("openai").hook.parse(json.dumps(line).encode())

    assert (result.status, result.error_code, result.remedy) == ("errored", code, remedy)
