"""OpenAI's Batch API, and services that look like it.

Facts and their sources: https://developers.openai.com/api/docs/guides/batch and the ``openai`` SDK 3.54, read
2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from airflow_provider_llmbatch.core.batches import Batch, BatchError, Status, as_time
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import NO_USAGE, Remedy, Result, Usage, not_answered
from airflow_provider_llmbatch.exceptions import BusyError, InputError, RejectedError, VendorError
from airflow_provider_llmbatch.hooks.base import Call, Marker, Page, Steps
from airflow_provider_llmbatch.hooks.sdk import SdkHook, encode_line, unpack

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

_STATUSES: dict[str, Status] = {
    "validating": "validating",
    "queued": "validating",
    "in_progress": "in_progress",
    "running": "in_progress",
    "finalizing": "finalizing",
    "cancelling": "cancelling",
    "canceling": "cancelling",
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}

_BUDGET = (
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
)
_RETRY = (
    "rate_limit_exceeded",
    "server_error",
    "batch_expired",
    "batch_cancelled",
    "failed_to_download_image",
    "invalid_image_url",
    "vector_store_timeout",
    "token_limit_exceeded",
)
_CHANGE = (
    "invalid_request_error",
    "context_length_exceeded",
    "string_above_max_length",
    "invalid_type",
    "invalid_value",
    "unknown_parameter",
    "unsupported_parameter",
    "unsupported_value",
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
)
_NEVER = (
    "refusal",
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
    "image_content_policy_violation",
    "content_filter",
    "data_residency_mismatch",
    "model_not_found",
)


class _Line(msgspec.Struct):
    """One line of an input file."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class OpenAIBatchHook(SdkHook):
    """Talk to OpenAI's Batch API.

    :param conn_id: Connection with the API key in *password* and, for a look-alike, its address in *host*.
    """

    default_conn_name = "openai_default"
    conn_type = "llmbatch_openai"
    hook_name = "LLM Batch (OpenAI)"
    vendor = "openai"
    page_size = 100
    has_metadata = True
    LIMITS = Limits(
        max_requests=50_000,
        max_bytes=200_000_000,
        max_inputs=50_000,
        source="https://developers.openai.com/api/docs/guides/batch",
        checked=date(2026, 11, 22),
    )
    remedies: ClassVar[Mapping[str, Remedy]] = {
        **dict.fromkeys(_BUDGET, "budget"),
        **dict.fromkeys(_RETRY, "retry"),
        **dict.fromkeys(_CHANGE, "change"),
        **dict.fromkeys(_NEVER, "never"),
        "invalid_api_key": "credential",
    }

    def _new_client(self, *, asynchronous: bool) -> Any:
        from openai import AsyncOpenAI, OpenAI

        names = {"organization": self.settings.organization, "project": self.settings.project}
        return (AsyncOpenAI if asynchronous else OpenAI)(**(names | self._client_kwargs()))

    # -- reading ---------------------------------------------------------------------------------------------

    def list_call(self, after: str | None, limit: int) -> Call:
        return Call("/batches", {"limit": limit} | ({"after": after} if after else {}))

    def read_page(self, reply: bytes) -> Page:
        document = msgspec.json.decode(reply)
        items = document if isinstance(document, list) else document.get("data") or []
        batches = [_batch(item) for item in items]
        more = isinstance(document, dict) and document.get("has_more") and batches
        return Page(batches, batches[-1].batch_id if more else None)

    def list_page(self, after: str | None, limit: int | None = None) -> Steps[Page]:
        page = yield from super().list_page(after, limit)
        if page.after is None or self.settings.list_mode != "offset":
            return page
        return page._replace(after=str(int(after or 0) + len(page.batches)))

    def batch_call(self, batch_id: str) -> Call:
        return Call(f"/batches/{batch_id}")

    def read_batch(self, reply: bytes) -> Batch:
        return _batch(msgspec.json.decode(reply))

    # -- asking ----------------------------------------------------------------------------------------------

    def encode(self, custom_id: str, ask: Ask, endpoint: str | None) -> Request:
        url = endpoint or CHAT
        if url not in _BODIES:
            raise InputError(
                f"endpoint {url!r}: OpenAI requests can be made for {', '.join(_BODIES)}. Nothing was sent."
            )
        body = _BODIES[url](ask)
        line = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
        return Request(encode_line(line), _lane(url, body))

    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        request = msgspec.json.decode(line, type=_Line)
        request.custom_id = custom_id
        body = msgspec.json.decode(request.body)
        return Request(encode_line(request), _lane(request.url, body))

    def stage(self, path: Path, name: str) -> dict[str, str]:
        client = self.client.with_options(max_retries=0)
        with self.errors("POST /files"), path.open("rb") as file:
            uploaded = client.files.create(file=(name, file), purpose=self.settings.purpose)
        return {"input": uploaded.id}

    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        client = self.client.with_options(max_retries=0)
        with path.open("rb") as file:
            endpoint = msgspec.json.decode(file.readline(), type=_Line).url
        body = {
            "input_file_id": staged["input"],
            "endpoint": endpoint,
            "completion_window": self.settings.completion_window,
            "metadata": marker.as_metadata(),
        }
        try:
            with self.errors("POST /batches"):
                return _batch(msgspec.json.decode(client.post("/batches", cast_to=bytes, body=body)))
        except RejectedError as error:
            if "Cannot find file" in error.message:  # an upload can take seconds to be seen (FACTS §1.4)
                raise BusyError(error.message, status=error.status, code=error.code, retry_after=5.0) from None
            raise

    def cancel(self, batch_id: str) -> None:
        self.post_once(f"/batches/{batch_id}/cancel")

    # -- answers ---------------------------------------------------------------------------------------------

    def download(self, batch: Batch, path: Path) -> None:
        ids = [batch.files[role] for role in ("output", "error") if batch.files.get(role)]
        self.fetch({f"/files/{file_id}/content": self._size(file_id) for file_id in ids}, path)

    def _size(self, file_id: str) -> int | None:
        """Return the size that the vendor announces, or ``None`` if it does not: the download then goes unchecked."""
        try:
            size = unpack(self.get(Call(f"/files/{file_id}"))).get("bytes")
        except VendorError:
            return None
        return size if isinstance(size, int) and size > 0 else None

    def find_staged(self, name: str, size: int) -> Steps[dict[str, str] | None]:
        reply = yield Call("/files", {"purpose": self.settings.purpose, "limit": 1_000, "order": "desc"})
        for item in msgspec.json.decode(reply).get("data") or []:
            if item.get("filename") == name and item.get("bytes") == size:
                return {"input": str(item["id"])}
        return None

    def parse(self, line: bytes) -> Result:
        item = msgspec.json.decode(line)
        response = item.get("response") or {}
        body = response.get("body") or {}
        status = response.get("status_code") or 0
        if status == 200 and body and not item.get("error"):
            result = _READERS.get(str(body.get("object")), _read_chat)(body)
            remedy = "none" if result.status == "succeeded" else self.remedy(result.error_code)
            return msgspec.structs.replace(result, remedy=remedy)
        problem = item.get("error") or body.get("error")
        if not problem:
            return not_answered("errored", f"http_{status}", "The answer is empty.", "retry")
        return self._failure(problem, status)

    def _failure(self, problem: dict[str, Any], status: int) -> Result:
        code = str(problem.get("code") or problem.get("type") or f"http_{status}")
        message = str(problem.get("message") or "")
        remedy = self.remedy(code, status or None)
        verdicts: dict[str, Any] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
        return not_answered(verdicts.get(code, "errored"), code, self._masked(message), remedy)

    def error_of(self, body: Any) -> tuple[str | None, str]:
        found = unpack(body)
        inner: dict[str, Any] = found["error"] if isinstance(found.get("error"), dict) else found
        return inner.get("code") or inner.get("type"), str(inner.get("message") or "no message")

    def is_queue_full(self, batch: Batch) -> bool:
        return batch.status == "failed" and any(error.code == "token_limit_exceeded" for error in batch.errors)

    def cleanup(self, batch: Batch) -> None:
        for file_id in batch.files.values():
            with self.errors(f"DELETE /files/{file_id}"):
                self.client.delete(f"/files/{file_id}", cast_to=bytes)


def _batch(item: dict[str, Any]) -> Batch:
    """Read a batch object, tolerant of what look-alikes and old versions do (FACTS §4).

    It goes into an event, which is read back strictly: whatever has another type than it should is left out.
    """
    item = item.get("job") or item
    raw = str(item.get("status") or "").lower()
    counts = item.get("request_counts") or {}
    done, errored = _whole(counts.get("completed")), _whole(counts.get("failed"))
    errors = item.get("errors") or []
    roles = {"input": "input_file_id", "output": "output_file_id", "error": "error_file_id"}
    ended = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    return Batch(
        batch_id=str(item["id"]),
        status=_STATUSES.get(raw, "unknown"),
        vendor_status=raw,
        total=_whole(counts.get("total")),
        done=None if done is None else done + (errored or 0),
        errored=errored,
        created_at=as_time(item.get("created_at")),
        in_progress_at=as_time(item.get("in_progress_at")),
        finalizing_at=as_time(item.get("finalizing_at")),
        ended_at=next((as_time(item[name]) for name in ended if item.get(name)), None),
        expires_at=as_time(item.get("expires_at")),
        files={role: str(item[name]) for role, name in roles.items() if item.get(name)},
        errors=[_batch_error(error) for error in (errors.get("data") or [] if isinstance(errors, dict) else errors)],
        marker={name: str(value) for name, value in (item.get("metadata") or {}).items()},
    )


def _batch_error(error: Any) -> BatchError:
    facts = error if isinstance(error, dict) else {"message": error}
    return BatchError(str(facts.get("code") or "unknown"), str(facts.get("message") or ""), _whole(facts.get("line")))


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None


# -- bodies ----------------------------------------------------------------------------------------------------


def _chat_body(ask: Ask) -> dict[str, Any]:
    system = [{"role": "system", "content": ask.system}] if ask.system else []
    messages = [*system, *ask.messages] or ask.body.get("messages")
    cap = _cap(ask, "max_completion_tokens", "max_tokens")
    return _without_none({**ask.body, "model": ask.model, "messages": messages, **cap, **ask.params})


def _responses_body(ask: Ask) -> dict[str, Any]:
    return _without_none(
        {
            **ask.body,
            "model": ask.model,
            "instructions": ask.system or ask.body.get("instructions"),
            "input": ask.messages or ask.body.get("input"),
            **_cap(ask, "max_output_tokens"),
            **ask.params,
        }
    )


def _cap(ask: Ask, *names: str) -> dict[str, Any]:
    """Return the bound of the answer under the first of *names*, unless the request brings one of its own."""
    return {} if set(names) & (ask.body.keys() | ask.params.keys()) else {names[0]: ask.max_tokens}


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _lane(url: str, body: Mapping[str, Any]) -> str:
    """Return what a batch must have in common: one endpoint, and one model (FACTS §1.1)."""
    return f"{url} {body.get('model') or ''}"


_BODIES = {CHAT: _chat_body, RESPONSES: _responses_body}


# -- answers ---------------------------------------------------------------------------------------------------


def _read_chat(body: dict[str, Any]) -> Result:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    reason = choice.get("finish_reason")
    usage = _usage(body.get("usage"), "prompt_tokens", "completion_tokens")
    facts: dict[str, Any] = {"finish_reason": reason, "model": body.get("model"), "usage": usage}
    if not message:
        return Result(status="errored", error_code="empty", error_message="The answer is empty.", **facts)
    if message.get("refusal") or reason == "content_filter":
        return _refusal(message.get("refusal") or "The content filter stopped the answer.", facts)
    return Result(status="succeeded", output=message.get("content"), **facts)


def _read_response(body: dict[str, Any]) -> Result:
    usage = _usage(body.get("usage"), "input_tokens", "output_tokens")
    reason = (body.get("incomplete_details") or {}).get("reason")
    facts: dict[str, Any] = {
        "finish_reason": reason or body.get("status"),
        "model": body.get("model"),
        "usage": usage,
    }
    parts = [part for item in body.get("output") or [] for part in item.get("content") or []]
    refusal = next((part["refusal"] for part in parts if part.get("type") == "refusal"), None)
    if refusal or reason == "content_filter":
        return _refusal(refusal or "The content filter stopped the answer.", facts)
    if body.get("status") == "failed":
        problem = body.get("error") or {}
        return Result(
            status="errored",
            error_code=problem.get("code") or "failed",
            error_message=problem.get("message"),
            **facts,
        )
    text = "".join(part.get("text", "") for part in parts if part.get("type") == "output_text")
    return Result(status="succeeded", output=text, **facts)


def _refusal(text: str, facts: dict[str, Any]) -> Result:
    return Result(status="errored", error_code="refusal", error_message=text, **facts)


def _usage(usage: dict[str, Any] | None, given: str, made: str) -> Usage:
    """Read token counts. OpenAI's input count includes cached and cache-written tokens (FACTS §1.5)."""
    if not usage:
        return NO_USAGE
    into = usage.get(f"{given}_details") or {}
    out = usage.get(f"{made}_details") or {}
    return Usage(
        input=usage.get(given) or 0,
        cached_input=into.get("cached_tokens") or 0,
        cache_write=into.get("cache_write_tokens") or 0,
        output=usage.get(made) or 0,
        reasoning=out.get("reasoning_tokens") or 0,
    )


_READERS = {"chat.completion": _read_chat, "response": _read_response}
