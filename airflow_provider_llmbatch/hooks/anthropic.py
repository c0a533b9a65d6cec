"""Anthropic's Message Batches API.

Facts and their sources: https://platform.claude.com/docs/en/build-with-claude/batch-processing and the ``anthropic``
SDK 2.12, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from airflow_provider_llmbatch.core.batches import Batch, Status, as_time
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import NO_USAGE, Remedy, Result, Usage, not_answered
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks.base import Call, Marker, Page
from airflow_provider_llmbatch.hooks.sdk import SdkHook, encode_line, unpack

MESSAGES = "/v1/messages"
BATCHES = "/v1/messages/batches"
_BEFORE, _AFTER = b'{"requests":[', b"]}"

_BUDGET = (
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "billing_error",
    "linked_organization_billing_unavailable",
    "linked_organization_spend_limit_reached",
)
_RETRY = (
    "api_error",
    "timeout_error",
    "overloaded_error",
    "rate_limit_error",
    "ramp_limit_exceeded",
    "conflict_error",
    "cmek_key_unreachable",
    "cmek_context_unavailable",
    "expired",
    "canceled",
)
_CREDENTIAL = (
    "authentication_error",
    "permission_error",
    "not_found_error",
    "organization_on_hold",
    "cmek_key_disabled",
    "cmek_key_network_blocked",
    "claude_code_key_creator_not_member",
)
_CHANGE = ("invalid_request_error", "request_too_large", "image_dimensions_too_large", "tool_name_conflict")
_SPEND_LIMIT = "You have reached your specified"
"""Starts a 400 ``invalid_request_error`` that means *raise the budget* and has no code of its own (FACTS §2.5)."""


class _Line(msgspec.Struct):
    """One item of ``requests``."""

    custom_id: str
    params: msgspec.Raw


class AnthropicBatchHook(SdkHook):
    """Talk to Anthropic's Message Batches API.

    :param conn_id: Connection with the API key in *password*.
    """

    default_conn_name = "anthropic_default"
    conn_type = "llmbatch_anthropic"
    hook_name = "LLM Batch (Anthropic)"
    vendor = "anthropic"
    page_size = 1_000
    has_metadata = False
    LIMITS = Limits(
        max_requests=100_000,
        max_bytes=256_000_000,
        envelope_bytes=len(_BEFORE + _AFTER),
        source="https://platform.claude.com/docs/en/build-with-claude/batch-processing",
        checked=date(2026, 11, 22),
    )
    remedies: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(_BUDGET, "budget"),
        **dict.fromkeys(_RETRY, "retry"),
        **dict.fromkeys(_CREDENTIAL, "credential"),
        **dict.fromkeys(_CHANGE, "change"),
        "refusal": "never",
    }

    def _new_client(self, *, asynchronous: bool) -> Any:
        from anthropic import Anthropic, AsyncAnthropic

        return (AsyncAnthropic if asynchronous else Anthropic)(**self._client_kwargs())

    # -- reading ---------------------------------------------------------------------------------------------

    def list_call(self, after: str | None, limit: int) -> Call:
        return Call(BATCHES, {"limit": limit} | ({"after_id": after} if after else {}))

    def read_page(self, reply: bytes) -> Page:
        document = msgspec.json.decode(reply)
        batches = [_batch(item) for item in document.get("data") or []]
        return Page(batches, batches[-1].batch_id if document.get("has_more") and batches else None)

    def batch_call(self, batch_id: str) -> Call:
        return Call(f"{BATCHES}/{batch_id}")

    def read_batch(self, reply: bytes) -> Batch:
        return _batch(msgspec.json.decode(reply))

    # -- asking ----------------------------------------------------------------------------------------------

    def encode(self, custom_id: str, ask: Ask, endpoint: str | None) -> Request:
        if endpoint not in (None, MESSAGES):
            raise InputError(f"endpoint {endpoint!r}: Anthropic batches ask {MESSAGES!r} only. Nothing was sent.")
        if ask.max_tokens is None and not {"max_tokens"} & (ask.body.keys() | ask.params.keys()):
            raise InputError("max_tokens is required by Anthropic and may not be None. Nothing was sent.")
        system, turns = _split_system(ask)
        params = {
            **ask.body,
            "model": ask.model,
            "max_tokens": ask.body.get("max_tokens") or ask.max_tokens,
            "system": system,
            "messages": turns or ask.body.get("messages"),
            **ask.params,
        }
        line = {
            "custom_id": custom_id,
            "params": {name: value for name, value in params.items() if value is not None},
        }
        return Request(encode_line(line))

    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        request = msgspec.json.decode(line, type=_Line)
        request.custom_id = custom_id
        return Request(encode_line(request))

    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        body = _Body(path)
        headers = {"Content-Type": "application/json", "Content-Length": str(body.size)}
        client = self.client.with_options(max_retries=0)
        with self.errors(f"POST {BATCHES}"):
            reply = client.post(BATCHES, cast_to=bytes, content=body, options={"headers": headers})
            return _batch(msgspec.json.decode(reply))

    def cancel(self, batch_id: str) -> None:
        self.post_once(f"{BATCHES}/{batch_id}/cancel")

    # -- answers ---------------------------------------------------------------------------------------------

    def download(self, batch: Batch, path: Path) -> None:
        # Not `results_url`: answers come from the connection's own host, never from wherever one points.
        self.fetch({f"{BATCHES}/{batch.batch_id}/results": None}, path)

    def first_lines(self, batch: Batch, count: int) -> list[bytes]:
        return self.head(f"{BATCHES}/{batch.batch_id}/results", count)

    def parse(self, line: bytes) -> Result:
        result = msgspec.json.decode(line).get("result") or {}
        kind = result.get("type")
        if kind == "succeeded":
            return _read_message(result.get("message") or {})
        if kind == "expired":
            return not_answered("expired", "expired", "The vendor's window closed before this was asked.", "retry")
        if kind == "canceled":
            return not_answered("cancelled", "canceled", "The batch was cancelled before this was asked.", "retry")
        code, text = self.error_of(result.get("error"))
        kind = unpack(unpack(result.get("error")).get("error")).get("type")
        remedy = self.remedy(code if code in self.remedies else kind)  # a code of tomorrow is no more than its type
        return not_answered("errored", code or "unknown", self._masked(text), remedy)

    def error_of(self, body: Any) -> tuple[str | None, str]:
        found = unpack(body)
        inner: dict[str, Any] = found["error"] if isinstance(found.get("error"), dict) else found
        text = str(inner.get("message") or "no message")
        if text.startswith(_SPEND_LIMIT):
            return "billing_error", text
        return (inner.get("details") or {}).get("error_code") or inner.get("type"), text

    def cleanup(self, batch: Batch) -> None:
        with self.errors(f"DELETE {BATCHES}/{batch.batch_id}"):
            self.client.delete(f"{BATCHES}/{batch.batch_id}", cast_to=bytes)


class _Body:
    """The create call's body, streamed from the request file as often as it is asked for.

    A JSON line holds no raw newline, so every ``\\n`` but the last stands between two requests.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = len(_BEFORE) + path.stat().st_size - 1 + len(_AFTER)

    def __iter__(self) -> Iterator[bytes]:
        yield _BEFORE
        left = self._path.stat().st_size - 1
        with self._path.open("rb") as file:
            while left:
                block = file.read(min(left, 1 << 20))
                left -= len(block)
                yield block.replace(b"\n", b",")
        yield _AFTER


def _batch(item: dict[str, Any]) -> Batch:
    """Read a batch object. There is no failed or expired status; what happened is told by the counts (FACTS §2.3)."""
    counts = item.get("request_counts") or {}
    raw = str(item.get("processing_status") or "").lower()
    ended = raw == "ended"
    numbers = {
        name: int(counts.get(name) or 0) for name in ("processing", "succeeded", "errored", "canceled", "expired")
    }
    return Batch(
        batch_id=str(item["id"]),
        status=_status(raw, item, numbers),
        vendor_status=raw,
        total=sum(numbers.values()),
        done=sum(numbers.values()) if ended else None,
        errored=numbers["errored"] if ended else None,
        created_at=as_time(item.get("created_at")),
        in_progress_at=as_time(item.get("created_at")),
        ended_at=as_time(item.get("ended_at")),
        expires_at=as_time(item.get("expires_at")),
    )


def _status(raw: str, item: dict[str, Any], counts: dict[str, int]) -> Status:
    if raw == "ended":
        if counts["expired"]:
            return "expired"
        return "cancelled" if item.get("cancel_initiated_at") else "completed"
    known: dict[str, Status] = {"in_progress": "in_progress", "canceling": "cancelling"}
    return known.get(raw, "unknown")


def _split_system(ask: Ask) -> tuple[Any, list[dict[str, Any]]]:
    """Move system turns to where Anthropic wants them: a parameter of its own."""
    texts = [
        ask.system,
        *(turn["content"] for turn in ask.messages if turn["role"] in ("system", "developer")),
    ]
    turns = [turn for turn in ask.messages if turn["role"] not in ("system", "developer")]
    system = [text for text in texts if text]
    if len(system) > 1:
        blocks = [text if isinstance(text, list) else [{"type": "text", "text": text}] for text in system]
        return [block for several in blocks for block in several], turns
    return (system[0] if system else ask.body.get("system")), turns


def _read_message(message: dict[str, Any]) -> Result:
    reason = message.get("stop_reason")
    facts: dict[str, Any] = {
        "finish_reason": reason,
        "model": message.get("model"),
        "usage": _usage(message.get("usage")),
    }
    text = "".join(block.get("text", "") for block in message.get("content") or [] if block.get("type") == "text")
    if reason == "refusal":
        return Result(
            status="errored",
            output=text or None,
            error_code="refusal",
            error_message="The model refused; the answer was billed.",
            remedy="never",
            **facts,
        )
    return Result(status="succeeded", output=text, **facts)


def _usage(usage: dict[str, Any] | None) -> Usage:
    """Read token counts. Anthropic's ``input_tokens`` are the uncached ones only; ours are all of them (FACTS §2.4)."""
    if not usage:
        return NO_USAGE
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Usage(
        input=(usage.get("input_tokens") or 0) + cached + written,
        cached_input=cached,
        cache_write=written,
        cache_write_1h=(usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0,
        output=usage.get("output_tokens") or 0,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
