"""What would help a request that OpenAI did not answer, code by code.

OpenAI publishes no list. These codes are those of its SDK, its guides and its users' reports (FACTS §1.4, §1.6). A code
that is not here goes by its HTTP status: :meth:`~airflow_provider_llmbatch.hooks.sdk.SdkHook.remedy` says how.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_llmbatch.core.results import TRUNCATED, Remedy

EMPTY = "empty"
"""Our code for a 200 that holds no answer."""
REFUSAL = "refusal"
"""Our code for an answer that the model declined to give."""
CONTENT_FILTER = "content_filter"
QUEUE_FULL = "token_limit_exceeded"
"""Fails a batch that found too many tokens waiting already. Nothing ran and nothing is billed (FACTS §1.2)."""
GENERIC = ("invalid_request_error",)
"""Types that stand in where an error has no code. They say less than its HTTP status does: a wrong key has one too."""

_CODES: dict[Remedy, tuple[str, ...]] = {
    "retry": (
        EMPTY,
        QUEUE_FULL,
        "batch_cancelled",
        "batch_expired",
        "failed_to_download_image",
        "invalid_image_url",
        "rate_limit_exceeded",
        "server_error",
        "vector_store_timeout",
    ),
    "change": (
        TRUNCATED,
        *GENERIC,
        # the request
        "context_length_exceeded",
        "invalid_function_parameters",
        "invalid_json_schema",
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "string_above_max_length",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        # its image
        "empty_image_file",
        "image_file_not_found",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "unsupported_image_media_type",
        # the request file
        "duplicate_custom_id",
        "empty_file",
        "invalid_json_line",
        "invalid_request",
        "invalid_url",
        "mismatched_model",
        "model_mismatch",
        "too_many_tasks",
        "url_mismatch",
    ),
    "budget": (
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    ),
    "credential": ("invalid_api_key",),
    "never": (
        CONTENT_FILTER,
        REFUSAL,
        "bio_policy",
        "data_residency_mismatch",
        "image_content_policy_violation",
        "invalid_prompt",
        "misalignment_policy_violation",
        "model_not_found",
    ),
}

REMEDIES: Mapping[str, Remedy] = {code: remedy for remedy, codes in _CODES.items() for code in codes}
