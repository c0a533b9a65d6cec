"""What goes over the wire, for both vendors: calls, JSON bodies, answers, and errors in the vendor's own words."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_llmbatch.emulator.faults import Fault

Vendor = Literal["openai", "anthropic"]
VENDORS: tuple[Vendor, ...] = get_args(Vendor)

SYNC_BODY_BYTES = 32_000_000
"""Largest body of a call that is not an upload (Anthropic: 32 MB, FACTS §5.3)."""


@dataclasses.dataclass(slots=True)
class Call:
    """One request on its way through the emulator."""

    operation: str
    """Name of what is called, for example ``openai.batches.create``."""
    vendor: Vendor | None
    """``None`` for the control routes."""
    params: Mapping[str, str]
    """The variable parts of the path."""
    request: Request
    request_id: str
    faults: list[Fault] = dataclasses.field(default_factory=list)
    """What strikes it."""

    async def json(self) -> dict[str, Any]:
        """Read the body as a JSON object; malformed is a 400 in the vendor's words."""
        body = await self.request.body()
        if len(body) > SYNC_BODY_BYTES:
            raise refusal(self.vendor, 413, "Request exceeds the maximum size")
        try:
            document = msgspec.json.decode(body or b"{}")
        except (msgspec.DecodeError, RecursionError) as error:
            raise refusal(self.vendor, 400, f"The body of your request is not valid JSON: {error}") from None
        if not isinstance(document, dict):
            raise refusal(self.vendor, 400, "The body of your request must be a JSON object.")
        return document


class ApiError(Exception):
    """A call or a single request that the vendor refuses."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.fields = fields

    def body(self, request_id: str | None) -> dict[str, Any]:
        """Return the JSON body that the vendor sends with such an error."""
        raise TypeError(f"{type(self).__name__} belongs to no vendor, so it has no body")


class OpenAIError(ApiError):
    """``{"error": {"message", "type", "param", "code"}}`` (WIRE_EXAMPLES §1.9)."""

    def body(self, request_id: str | None) -> dict[str, Any]:
        code = self.fields.get("code")
        kind = self.fields.get("type") or _openai_type(self.status, code)
        return {"error": {"message": self.message, "type": kind, "param": self.fields.get("param"), "code": code}}


class AnthropicError(ApiError):
    """``{"type": "error", "error": {"type", "message"}, "request_id"}`` (WIRE_EXAMPLES §2.4)."""

    def body(self, request_id: str | None) -> dict[str, Any]:
        kind = self.fields.get("type")
        kind = kind if kind in ANTHROPIC_STATUS else anthropic_type(self.status)
        error = {"type": kind, "message": self.message}
        if self.fields.get("details"):
            error["details"] = self.fields["details"]
        return {"type": "error", "error": error, "request_id": request_id}


class ControlError(ApiError):
    """A mistake in a call to the control routes."""

    def body(self, request_id: str | None) -> dict[str, Any]:
        return {"error": self.message}


_ERRORS: dict[Vendor | None, type[ApiError]] = {
    "openai": OpenAIError,
    "anthropic": AnthropicError,
    None: ControlError,
}


def refusal(vendor: Vendor | None, status: int, message: str, **fields: Any) -> ApiError:
    """Make an error in the envelope of *vendor*."""
    return _ERRORS[vendor](status, message, **fields)


OPENAI_STATUS = {
    "server_error": 500,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "billing_hard_limit_reached": 429,
    "billing_not_active": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
}
"""HTTP status of the codes that do not mean 400 (FACTS §1.6)."""

ANTHROPIC_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""HTTP status of every error type (FACTS §2.5)."""


ERROR_STATUS = OPENAI_STATUS | ANTHROPIC_STATUS
"""HTTP status of an error by its name, so that one fault may be for both vendors."""


def anthropic_type(status: int) -> str:
    """Return the error type that goes with an HTTP status."""
    for name, known in ANTHROPIC_STATUS.items():
        if known == status:
            return name
    return "invalid_request_error" if status < 500 else "api_error"


def _openai_type(status: int, code: str | None) -> str:
    if code in ("insufficient_quota", "billing_not_active"):
        return code
    if status == 429:
        return "rate_limit_error" if code is None else "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def words(text: str) -> frozenset[str]:
    """Return the words of *text*: a compact way to write a set of names."""
    return frozenset(text.split())


def reply(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(document), status, dict(headers or {}), media_type="application/json")


def rfc3339(epoch: float) -> str:
    """Write a time as Anthropic does, with microseconds."""
    moment = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
