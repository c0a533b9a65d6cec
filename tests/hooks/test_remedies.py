"""What would help, line by line as the vendors' own tables of errors say (FACTS §1.6, §2.5)."""

import anthropic.types.shared
import openai.types.responses
import pytest

from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook

OPENAI = {
    "retry": [
        *[("rate_limit_exceeded", 429), (None, 429), (None, 408), (None, 409), (None, 500), ("server_error", 500)],
        *[(None, 502), (None, 503), (None, 504), ("batch_expired", None), ("batch_cancelled", None), (None, None)],
        *[("failed_to_download_image", 400), ("invalid_image_url", 400), ("vector_store_timeout", 400)],
        *[("token_limit_exceeded", 400), ("token_limit_exceeded", 429), ("a_code_of_tomorrow", 500)],
    ],
    "change": [
        *[("context_length_exceeded", 400), ("string_above_max_length", 400), ("invalid_value", 400)],
        *[
            ("invalid_type", 400),
            ("unsupported_value", 400),
            ("unsupported_parameter", 400),
            ("unknown_parameter", 400),
        ],
        *[("invalid_image", None), ("invalid_image_format", None), ("invalid_base64_image", None)],
        *[("image_parse_error", None), ("image_too_large", None), ("image_too_small", None)],
        *[("image_file_too_large", None), ("empty_image_file", None), ("unsupported_image_media_type", None)],
        *[("invalid_image_mode", None), ("image_file_not_found", None), (None, 400), (None, 413), (None, 422)],
        *[("invalid_json_line", 400), ("duplicate_custom_id", 400), ("mismatched_model", 400)],
        *[("model_mismatch", 400), ("url_mismatch", 400), ("empty_file", 400), ("too_many_tasks", 400)],
        *[("a_code_of_tomorrow", 400), ("invalid_request_error", None)],
    ],
    "budget": [
        *[("insufficient_quota", 429), ("billing_hard_limit_reached", 400), ("billing_not_active", 429)],
        *[("organization_spend_limit_exceeded", 429), ("organization_usage_limit_exceeded", 429)],
        *[("project_spend_limit_exceeded", 429), (None, 402)],
    ],
    "credential": [("invalid_api_key", 401), (None, 401), (None, 403), ("a_code_of_tomorrow", 403)],
    "never": [
        *[("invalid_prompt", 400), ("bio_policy", 400), ("misalignment_policy_violation", 400)],
        *[("image_content_policy_violation", 400), ("content_filter", 400), ("refusal", None)],
        *[("data_residency_mismatch", 400), ("model_not_found", 404), ("model_not_found", 400), (None, 404)],
    ],
}
ANTHROPIC = {
    "retry": [
        *[("api_error", 500), ("timeout_error", 504), ("overloaded_error", 529), ("rate_limit_error", 429)],
        *[("ramp_limit_exceeded", 429), ("conflict_error", 409), ("expired", None), ("canceled", None)],
        *[("cmek_key_unreachable", 503), ("cmek_context_unavailable", 503), (None, 500), (None, 529), (None, None)],
    ],
    "change": [
        *[("invalid_request_error", 400), ("request_too_large", 413), ("image_dimensions_too_large", 400)],
        *[("tool_name_conflict", 400), ("request_body_encoding_invalid", 400), (None, 400), (None, 413)],
    ],
    "budget": [
        *[("enforced_spend_limit_reached", 429), ("contract_spend_limit_reached", 429), ("billing_error", 402)],
        *[("billing_error", 400), ("linked_organization_spend_limit_reached", 402), (None, 402)],
        *[("linked_organization_billing_unavailable", 402)],
    ],
    "credential": [
        *[("authentication_error", 401), ("permission_error", 403), ("not_found_error", 404)],
        *[("organization_on_hold", 400), ("cmek_key_disabled", 400), ("cmek_key_network_blocked", 400)],
        *[("claude_code_key_creator_not_member", 400), (None, 401), (None, 403)],
    ],
    "never": [("refusal", None)],
}


@pytest.mark.parametrize(
    ("hook", "code", "status", "remedy"),
    [
        pytest.param(hook, code, status, remedy, id=f"{hook.vendor}-{code}-{status}")
        for hook, table in [(OpenAIBatchHook, OPENAI), (AnthropicBatchHook, ANTHROPIC)]
        for remedy, signals in table.items()
        for code, status in signals
    ],
)
def test_remedy(hook, code, status, remedy):
    assert hook("c").remedy(code, status) == remedy


@pytest.mark.parametrize(("hook", "table"), [(OpenAIBatchHook, OPENAI), (AnthropicBatchHook, ANTHROPIC)])
def test_every_code_of_the_hooks_own_table_is_tested(hook, table):
    tested = {code for signals in table.values() for code, _ in signals}

    assert hook.remedies.keys() <= tested


def test_every_code_that_openais_sdk_names_for_a_failed_response_has_a_remedy():
    codes = openai.types.responses.ResponseError.model_fields["code"].annotation.__args__

    assert set(codes) <= OpenAIBatchHook.remedies.keys()


def test_every_type_that_anthropics_sdk_names_has_a_remedy_but_those_of_other_services():
    """The memory tool's errors cannot come from a batch."""
    types = set(anthropic.types.shared.ErrorType.__args__) if hasattr(anthropic.types.shared, "ErrorType") else set()

    assert {name for name in types if not name.startswith("memory_")} <= AnthropicBatchHook.remedies.keys()
