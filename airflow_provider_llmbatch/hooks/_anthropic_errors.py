"""What Anthropic's errors mean: one table from code to what would help.

From FACTS §2.5, and the codes that SDK 2.12 knows for a message (``anthropic/_error_classes.py``, read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_llmbatch.core.results import TRUNCATED, Remedy
from airflow_provider_llmbatch.hooks.sdk import unpack

_CODES: Mapping[Remedy, tuple[str, ...]] = {
    "retry": (
        "api_error",
        "timeout_error",
        "overloaded_error",
        "rate_limit_error",
        "ramp_limit_exceeded",
        "conflict_error",
        "cmek_key_unreachable",
        "cmek_context_unavailable",
        "compaction_unavailable",
        "expired",
        "canceled",
    ),
    "change": (
        "invalid_request_error",
        "request_too_large",
        "request_body_too_large_after_decoding",
        "request_body_encoding_invalid",
        "request_body_encoding_unsupported",
        "image_dimensions_too_large",
        "file_expired",
        "tool_name_conflict",
        "tool_reference_unresolved",
        "available_tools_limit_exceeded",
        "compaction_block_ambiguous",
        "compaction_block_misplaced",
        "compaction_content_mismatch",
        "compaction_incomplete_turn",
        "compaction_nothing_to_summarize",
        "compaction_signature_invalid",
        "compaction_too_many_tool_references",
        "compaction_tool_changes_mismatch",
        # Reasons to stop, which are no errors of Anthropic's:
        TRUNCATED,
        "model_context_window_exceeded",
        "pause_turn",
        "compaction",
    ),
    "budget": (
        "billing_error",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
    ),
    "credential": (
        "authentication_error",
        "permission_error",
        "not_found_error",
        "organization_on_hold",
        "organization_not_enrolled_in_beta",
        "organization_type_not_supported",
        "sandbox_egress_restricted",
        "cmek_key_disabled",
        "cmek_key_network_blocked",
        "claude_code_key_creator_not_member",
    ),
    "never": ("refusal",),
}
REMEDIES: dict[str, Remedy] = {code: remedy for remedy, codes in _CODES.items() for code in codes}
"""What would help, by code. A code that is not in it is no more than its type; a type that is not, may be asked again:
whatever it is, it was not billed."""

_SPEND_LIMIT = "You have reached your specified"
"""Starts a 400 ``invalid_request_error`` that means *raise the budget* and has no code of its own (FACTS §2.5)."""


def error_of(body: Any) -> tuple[str | None, str]:
    """Return code and text of an error body, in its envelope or without."""
    found = unpack(body)
    inner: dict[str, Any] = found["error"] if isinstance(found.get("error"), dict) else found
    text = str(inner.get("message") or "no message")
    if text.startswith(_SPEND_LIMIT):
        return "billing_error", text
    return unpack(inner.get("details")).get("error_code") or inner.get("type"), text


def known_code(body: Any) -> str | None:
    """Return what an item's error is to be judged by: its code if the table has it, else its type."""
    code, _ = error_of(body)
    kind = unpack(unpack(body).get("error")).get("type")
    return code if code in REMEDIES else kind
