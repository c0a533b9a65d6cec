"""Everything that an SDK may raise becomes one of ours: a clear no, a *not now*, or *it may have been created*."""

import inspect
import pickle
from importlib import import_module

import pytest

from airflow_provider_llmbatch.exceptions import (
    BudgetExhaustedError,
    BusyError,
    CredentialError,
    NotFoundError,
    RejectedError,
    UnavailableError,
    VendorError,
)
from tests.hooks.conftest import HOOKS, KEY, http_of

WHAT = "POST /batches"
NOT_OURS = {"InvalidWebhookSignatureError"}
"""Raised by helpers that we do not call, and no error of a call."""
BY_STATUS = {
    400: RejectedError,
    401: CredentialError,
    402: BudgetExhaustedError,
    403: CredentialError,
    404: NotFoundError,
    408: UnavailableError,
    409: UnavailableError,
    412: RejectedError,
    413: RejectedError,
    422: RejectedError,
    429: BusyError,
    431: RejectedError,
    499: UnavailableError,
    500: UnavailableError,
    501: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    529: UnavailableError,
}
BY_CODE = {
    "enforced_spend_limit_reached": BudgetExhaustedError,
    "contract_spend_limit_reached": BudgetExhaustedError,
    "linked_organization_spend_limit_reached": BudgetExhaustedError,
    "linked_organization_billing_unavailable": BudgetExhaustedError,
    "organization_on_hold": CredentialError,
    "organization_not_enrolled_in_beta": CredentialError,
    "organization_type_not_supported": CredentialError,
    "sandbox_egress_restricted": CredentialError,
    "cmek_key_disabled": CredentialError,
    "cmek_key_network_blocked": CredentialError,
    "claude_code_key_creator_not_member": CredentialError,
}
BY_NAME = {
    "APIStatusError": 418,
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "OAuthError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "InternalServerError": 500,
    "APIResponseValidationError": 200,
}
"""Statuses of those classes that do not name their own."""
WITHOUT_STATUS = {
    *("APIError", "APIConnectionError", "APITimeoutError", "OpenAIError", "AnthropicError", "RetryableError"),
    *("LengthFinishReasonError", "ContentFilterFinishReasonError", "APIWebhookValidationError"),
    *("WebSocketConnectionClosedError", "WebSocketQueueFullError", "CredentialsError", "IdentityTokenFileError"),
}


def public_errors(vendor):
    """Return every exception that the vendor's SDK lists as public."""
    sdk = import_module(vendor)
    found = {name: getattr(sdk, name) for name in sdk.__all__}
    return {name: cls for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, Exception)}


def code_of(cls):
    """Return the error code for which Anthropic's SDK has a class of its own: ``CMEKKeyDisabledError`` → its code."""
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__.replace("CMEK", "Cmek"))
    return words.removeprefix("_").removesuffix("_error")


def status_of(cls):
    return getattr(cls, "status_code", None) or next(
        (BY_NAME[base.__name__] for base in cls.__mro__ if base.__name__ in BY_NAME), None
    )


def raised(vendor, cls, *, status=None, body=None, headers=None):
    """Return an instance as the SDK would raise it."""
    http = http_of(vendor)
    request = http.Request("POST", "https://vendor.invalid/v1/batches")
    response = http.Response(status or status_of(cls) or 500, request=request, headers=headers)
    known = {"message": "m", "request": request, "response": response, "body": body, "unsent_messages": []}
    wanted = inspect.signature(cls.__init__).parameters
    if not any(name in wanted for name in known):
        return cls.__new__(cls)
    positional = [known[n] for n, p in wanted.items() if n in known and p.kind is p.POSITIONAL_OR_KEYWORD]
    return cls(*positional, **{n: known[n] for n, p in wanted.items() if n in known and p.kind is p.KEYWORD_ONLY})


CASES = [
    pytest.param(vendor, cls, id=f"{vendor}-{name}")
    for vendor in HOOKS
    for name, cls in public_errors(vendor).items()
    if name not in NOT_OURS
]


@pytest.mark.parametrize(("vendor", "cls"), CASES)
def test_every_public_error_of_an_sdk_is_translated(bench, vendor, cls):
    code = code_of(cls)
    body = {"type": "error", "error": {"type": "x", "message": "no", "details": {"error_code": code}}}

    found = bench(vendor).hook.translate(raised(vendor, cls, body=body), WHAT)

    if cls.__name__ in WITHOUT_STATUS:
        expected = UnavailableError
    elif cls.__name__ in ("APIStatusError", "RequestTooLargeError"):
        expected = RejectedError
    else:
        expected = BY_CODE.get(code) or BY_STATUS.get(status_of(cls), UnavailableError)
    assert type(found) is expected


@pytest.mark.parametrize("status", BY_STATUS)
def test_a_status_alone_decides_where_the_body_says_nothing(bench, vendor, status):
    sdk = import_module(vendor)

    found = bench(vendor).hook.translate(raised(vendor, sdk.APIStatusError, status=status), WHAT)

    assert type(found) is BY_STATUS[status]
    assert (found.status, found.code) == (status, None)


@pytest.mark.parametrize(
    ("vendor", "status", "body", "expected"),
    [
        pytest.param("openai", 429, {"code": "insufficient_quota"}, BudgetExhaustedError, id="quota"),
        pytest.param("openai", 429, {"code": "rate_limit_exceeded"}, BusyError, id="rate"),
        pytest.param("openai", 400, {"code": "billing_hard_limit_reached"}, BudgetExhaustedError, id="hard-limit"),
        pytest.param("openai", 404, {"code": "model_not_found"}, NotFoundError, id="model"),
        pytest.param("openai", 413, "<html>413</html>", RejectedError, id="a-proxys-page"),
        pytest.param("openai", 502, b"\xff\xfe", UnavailableError, id="bytes"),
        pytest.param("openai", 400, ["odd"], RejectedError, id="a-list"),
        pytest.param(
            "anthropic",
            400,
            {
                "error": {
                    "type": "invalid_request_error",
                    "message": "You have reached your specified workspace API usa",
                }
            },
            BudgetExhaustedError,
            id="spend-limit-in-disguise",
        ),
        pytest.param(
            "anthropic",
            429,
            {"error": {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}},
            BudgetExhaustedError,
            id="spend-limit",
        ),
        pytest.param("anthropic", 529, {"error": {"type": "overloaded_error"}}, UnavailableError, id="overloaded"),
    ],
)
def test_a_code_decides_where_a_status_means_two_things(bench, vendor, status, body, expected):
    sdk = import_module(vendor)

    found = bench(vendor).hook.translate(raised(vendor, sdk.APIStatusError, status=status, body=body), WHAT)

    assert type(found) is expected


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Fri, 31 Dec 2026 23:59:59 GMT", None), ("", None), (None, None)]
)
def test_the_time_that_a_vendor_asks_for_is_kept(bench, vendor, header, seconds):
    sdk = import_module(vendor)
    headers = {} if header is None else {"retry-after": header}

    found = bench(vendor).hook.translate(raised(vendor, sdk.RateLimitError, headers=headers), WHAT)

    assert found.retry_after == seconds


def test_a_message_names_call_status_code_and_reason_and_masks_the_key(bench):
    body = {"code": "invalid_api_key", "message": f"Incorrect API key provided: {KEY}."}
    error = raised("openai", import_module("openai").AuthenticationError, body=body)

    found = bench("openai").hook.translate(error, WHAT)

    assert str(found) == ("openai answered 401 (invalid_api_key) to POST /batches: Incorrect API key provided: ***.")
    assert KEY not in f"{found!r} {found.context}"


def test_no_answer_says_that_the_call_may_have_been_carried_out(bench, vendor):
    error = raised(vendor, import_module(vendor).APITimeoutError)

    found = bench(vendor).hook.translate(error, WHAT)

    assert str(found) == (
        f"{vendor}: no answer to POST /batches (APITimeoutError); it may or may not have been carried out."
    )


# -- the block that translates ---------------------------------------------------------------------------------------


def through(hook, error):
    with pytest.raises(BaseException) as caught, hook.errors(WHAT):
        raise error
    return caught.value


def test_the_transports_own_errors_are_translated_too(bench, vendor):
    http = http_of(vendor)

    for cls in [http.ReadTimeout, http.ConnectError, http.RemoteProtocolError, http.DecodingError]:
        assert type(through(bench(vendor).hook, cls("cut"))) is UnavailableError


def test_a_translated_error_drags_nothing_of_the_call_along(bench, vendor):
    """The SDK's error holds the request, and the request holds the key."""
    found = through(bench(vendor).hook, raised(vendor, import_module(vendor).InternalServerError))

    assert found.__cause__ is None
    assert found.__suppress_context__
    assert KEY not in str(pickle.dumps(found))


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), BusyError("said already")])
def test_what_is_not_the_sdks_passes_unchanged(bench, vendor, error):
    assert through(bench(vendor).hook, error) is error


def test_every_class_that_a_call_may_raise_is_a_vendor_error():
    assert all(issubclass(cls, VendorError) for cls in {*BY_STATUS.values(), *BY_CODE.values()})
