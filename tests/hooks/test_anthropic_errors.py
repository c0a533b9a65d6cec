"""FACTS §2.5, row by row: what each signal means, as an item of a batch and as the answer to a call."""

import json
from importlib import import_module

import anthropic
import pytest

from airflow_provider_llmbatch.exceptions import (
    BudgetExhaustedError,
    BusyError,
    CredentialError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from airflow_provider_llmbatch.hooks._anthropic_errors import REMEDIES
from tests.hooks.conftest import http_of

INVALID, LIMIT, PERMISSION = "invalid_request_error", "rate_limit_error", "permission_error"
SPENT = "You have reached your specified {}API usage limits. You will regain access on 2026-12-01."

FACTS = [
    # status, type, details.error_code, message, remedy of the item, class of the call's error
    (500, "api_error", None, "", "retry", UnavailableError),
    (504, "timeout_error", None, "", "retry", UnavailableError),
    (529, "overloaded_error", None, "", "retry", UnavailableError),
    (429, LIMIT, None, "", "retry", BusyError),
    (429, LIMIT, "ramp_limit_exceeded", "", "retry", BusyError),
    (409, "conflict_error", None, "", "retry", UnavailableError),
    (503, "api_error", "cmek_key_unreachable", "", "retry", UnavailableError),
    (503, "api_error", "cmek_context_unavailable", "", "retry", UnavailableError),
    (429, LIMIT, "enforced_spend_limit_reached", "", "budget", BudgetExhaustedError),
    (429, LIMIT, "contract_spend_limit_reached", "", "budget", BudgetExhaustedError),
    (400, INVALID, None, SPENT.format(""), "budget", BudgetExhaustedError),
    (400, INVALID, None, SPENT.format("workspace "), "budget", BudgetExhaustedError),
    (402, "billing_error", None, "", "budget", BudgetExhaustedError),
    (402, "billing_error", "linked_organization_billing_unavailable", "", "budget", BudgetExhaustedError),
    (402, "billing_error", "linked_organization_spend_limit_reached", "", "budget", BudgetExhaustedError),
    (400, INVALID, None, "max_tokens: 999999 is greater than the maximum allowed", "change", RejectedError),
    (413, "request_too_large", None, "", "change", RejectedError),
    (400, INVALID, "image_dimensions_too_large", "", "change", RejectedError),
    (400, INVALID, "tool_name_conflict", "", "change", RejectedError),
    (400, INVALID, "request_body_encoding_invalid", "", "change", RejectedError),
    (400, INVALID, "request_body_encoding_unsupported", "", "change", RejectedError),
    (413, INVALID, "request_body_too_large_after_decoding", "", "change", RejectedError),
    (401, "authentication_error", None, "", "credential", CredentialError),
    (403, PERMISSION, None, "", "credential", CredentialError),
    (404, "not_found_error", None, "", "credential", NotFoundError),
    (400, INVALID, "organization_on_hold", "", "credential", CredentialError),
    (400, INVALID, "cmek_key_disabled", "", "credential", CredentialError),
    (400, INVALID, "cmek_key_network_blocked", "", "credential", CredentialError),
    (400, INVALID, "claude_code_key_creator_not_member", "", "credential", CredentialError),
    # what FACTS does not name: by its type, and an unknown type by its status
    (400, INVALID, "a_code_of_tomorrow", "", "change", RejectedError),
    (403, PERMISSION, "a_code_of_tomorrow", "", "credential", CredentialError),
    (529, "overloaded_error", "a_code_of_tomorrow", "", "retry", UnavailableError),
    (400, "a_type_of_tomorrow", None, "", "retry", RejectedError),
    (500, "a_type_of_tomorrow", "a_code_of_tomorrow", "", "retry", UnavailableError),
]


def envelope(kind, code, message):
    error = {"type": kind, "message": message or "No."} | ({"details": {"error_code": code}} if code else {})
    return {"type": "error", "error": error, "request_id": "req_1"}


@pytest.mark.parametrize(("status", "kind", "code", "message", "remedy", "cls"), FACTS)
class TestASignal:
    def test_as_an_item_tells_what_would_help_the_row(self, bench, status, kind, code, message, remedy, cls):
        result = {"type": "errored", "error": envelope(kind, code, message)}

        found = bench("anthropic").hook.parse(json.dumps({"custom_id": "x", "result": result}).encode())

        assert (found.status, found.remedy, found.output) == ("errored", remedy, None)
        assert found.error_code == ("billing_error" if "usage limits" in message else code or kind)
        assert found.error_message == (message or "No.")

    def test_as_an_answer_tells_what_becomes_of_the_call(self, bench, status, kind, code, message, remedy, cls):
        http = http_of("anthropic")
        response = http.Response(status, request=http.Request("POST", "https://vendor.invalid/v1"))
        error = anthropic.APIStatusError("m", response=response, body=envelope(kind, code, message))

        assert type(bench("anthropic").hook.translate(error, "POST /batches")) is cls


@pytest.mark.parametrize(
    "error",
    [None, {}, [], "text", {"error": None}, {"error": "text"}, {"error": {"type": None, "details": "text"}}],
    ids=str,
)
def test_an_item_whose_error_says_nothing_may_be_asked_again(bench, error):
    line = {"custom_id": "x", "result": {"type": "errored", "error": error}}

    found = bench("anthropic").hook.parse(json.dumps(line).encode())

    assert (found.status, found.error_code, found.remedy) == ("errored", "unknown", "retry")


NOT_OF_MESSAGES = {"claude_code_version_too_old", "parent_organization_required"}
"""Codes that the SDK shares between its services, and that no batch of messages raises."""


def test_every_code_that_the_sdk_shares_between_services_has_a_remedy():
    codes = {
        name.removesuffix("_error_details")
        for name in vars(import_module("anthropic.types.shared"))
        if name.endswith("_error_details")
    }

    assert codes - NOT_OF_MESSAGES <= REMEDIES.keys()
