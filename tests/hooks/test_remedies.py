"""What would help, line by line as Anthropic's own table of errors says (FACTS §2.5)."""

import anthropic.types.shared
import pytest

from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook

ANTHROPIC = {
    "retry": [
        *[("api_error", 500), ("timeout_error", 504), ("overloaded_error", 529), ("rate_limit_error", 429)],
        *[("ramp_limit_exceeded", 429), ("conflict_error", 409), ("expired", None), ("canceled", None)],
        *[("cmek_key_unreachable", 503), ("cmek_context_unavailable", 503), (None, 500), (None, 529), (None, None)],
        ("compaction_unavailable", 529),
    ],
    "change": [
        *[("invalid_request_error", 400), ("request_too_large", 413), ("image_dimensions_too_large", 400)],
        *[("tool_name_conflict", 400), ("request_body_encoding_invalid", 400), (None, 400), (None, 413)],
        *[("request_body_encoding_unsupported", 400), ("request_body_too_large_after_decoding", 413)],
        *[("file_expired", 404), ("tool_reference_unresolved", 400), ("available_tools_limit_exceeded", 400)],
        *[("compaction_block_ambiguous", 400), ("compaction_block_misplaced", 400)],
        *[("compaction_content_mismatch", 400), ("compaction_incomplete_turn", 400)],
        *[("compaction_nothing_to_summarize", 400), ("compaction_signature_invalid", 400)],
        *[("compaction_too_many_tool_references", 400), ("compaction_tool_changes_mismatch", 400)],
        *[("truncated", None), ("model_context_window_exceeded", None), ("pause_turn", None), ("compaction", None)],
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
        *[("organization_not_enrolled_in_beta", 400), ("organization_type_not_supported", 400)],
        ("sandbox_egress_restricted", 403),
    ],
    "never": [("refusal", None)],
}


@pytest.mark.parametrize(
    ("hook", "code", "status", "remedy"),
    [
        pytest.param(hook, code, status, remedy, id=f"{hook.vendor}-{code}-{status}")
        for hook, table in [(AnthropicBatchHook, ANTHROPIC)]
        for remedy, signals in table.items()
        for code, status in signals
    ],
)
def test_remedy(hook, code, status, remedy):
    assert hook("c").remedy(code, status) == remedy


@pytest.mark.parametrize(("hook", "table"), [(AnthropicBatchHook, ANTHROPIC)])
def test_every_code_of_the_hooks_own_table_is_tested(hook, table):
    tested = {code for signals in table.values() for code, _ in signals}

    assert hook.remedies.keys() <= tested


def test_every_type_that_anthropics_sdk_names_has_a_remedy_but_those_of_other_services():
    """The memory tool's errors cannot come from a batch."""
    types = set(anthropic.types.shared.ErrorType.__args__) if hasattr(anthropic.types.shared, "ErrorType") else set()

    assert {name for name in types if not name.startswith("memory_")} <= AnthropicBatchHook.remedies.keys()
