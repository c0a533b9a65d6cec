"""Anthropic's Message Batches API.

Facts and their sources: https://platform.claude.com/docs/en/build-with-claude/batch-processing and the ``anthropic``
SDK 2.12, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from airflow_provider_llmbatch.core.batches import Batch, Status, as_time
from airflow_provider_llmbatch.core.jsonl import encode_line
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import Result, not_answered
from airflow_provider_llmbatch.exceptions import InputError, NotFoundError
from airflow_provider_llmbatch.hooks._anthropic_answers import read_message
from airflow_provider_llmbatch.hooks._anthropic_cache import shortfall
from airflow_provider_llmbatch.hooks._anthropic_errors import REMEDIES, error_of, known_code
from airflow_provider_llmbatch.hooks._anthropic_plain import read_plain
from airflow_provider_llmbatch.hooks._anthropic_requests import (
    SAMPLING,
    Line,
    betas_of,
    cap_of,
    changed,
    check,
    check_sampling,
    names,
    params_of,
)
from airflow_provider_llmbatch.hooks.calls import Call, Marker, Page, Steps
from airflow_provider_llmbatch.hooks.sdk import SdkHook

MESSAGES = "/v1/messages"
BATCHES = "/v1/messages/batches"
MODELS = "/v1/models"
BETA_HEADER = "anthropic-beta"
_BEFORE, _AFTER = b'{"requests":[', b"]}"


class _Limiter(msgspec.Struct):
    type: str
    value: int


class _RateLimit(msgspec.Struct):
    limits: list[_Limiter]


class _RateLimits(msgspec.Struct):
    """The organization's limits, by group."""

    data: list[_RateLimit]


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
    marks_cache = True
    token_factor = 1.3  # since Claude 4.7 (FACTS §5.3)
    LIMITS = Limits(
        max_requests=100_000,
        max_bytes=256_000_000,
        envelope_bytes=len(_BEFORE + _AFTER),
        source="https://platform.claude.com/docs/en/build-with-claude/batch-processing",
        checked=date(2026, 11, 22),
    )
    remedies = REMEDIES

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
        params = params_of(ask)
        check(params)
        if not params.keys().isdisjoint(SAMPLING):
            check_sampling(params, self.api_version)
        betas = self.betas | betas_of(ask)
        return Request(encode_line({"custom_id": custom_id, "params": params}), ",".join(sorted(betas)))

    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        request = msgspec.json.decode(line, type=Line)
        request.custom_id = custom_id
        request.params = changed(request.params, change)
        return Request(encode_line(request), lane)

    def cache_shortfall(self, line: bytes) -> str | None:
        return shortfall(msgspec.json.decode(line)["params"])

    def cap_of(self, line: bytes) -> int | None:
        return cap_of(msgspec.json.decode(line, type=Line).params)

    def largest_answer(self, model: str) -> Steps[int | None]:
        try:
            reply = yield Call(f"{MODELS}/{quote(model, safe='')}")
        except NotFoundError:
            return None
        most = msgspec.json.decode(reply).get("max_tokens")
        return most if isinstance(most, int) and most > 0 else None

    @cached_property
    def betas(self) -> set[str]:
        """Beta features that the connection asks for; its own header counts, since that of a batch replaces it."""
        headers = self.settings.client_kwargs.get("default_headers") or {}
        own = [name for key, value in headers.items() if key.lower() == BETA_HEADER for name in names(value)]
        return {*self.settings.betas, *own}

    @cached_property
    def api_version(self) -> str:
        """The API version of this connection's calls: the one that it pins, or the SDK's own."""
        headers = {name.lower(): value for name, value in self.client.default_headers.items()}
        return str(headers.get("anthropic-version", ""))

    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        body = _Body(path)
        headers = {"Content-Type": "application/json", "Content-Length": str(body.size)}
        if marker.lane:
            headers[BETA_HEADER] = marker.lane
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

    read_plain = staticmethod(read_plain)

    def parse(self, line: bytes) -> Result:
        result = msgspec.json.decode(line).get("result") or {}
        kind = result.get("type")
        if kind == "succeeded":
            return read_message(result.get("message") or {})
        if kind == "expired":
            return not_answered("expired", "expired", "The vendor's window closed before this was asked.", "retry")
        if kind == "canceled":
            return not_answered("cancelled", "canceled", "The batch was cancelled before this was asked.", "retry")
        code, text = error_of(result.get("error"))
        remedy = self.remedy(known_code(result.get("error")))
        return not_answered("errored", code or "unknown", self._masked(text), remedy)

    def error_of(self, body: Any) -> tuple[str | None, str]:
        return error_of(body)

    def read_queues(self) -> dict[str, int]:
        """Return the requests that an organization may have in the queue of all its batches.

        Source: https://platform.claude.com/docs/en/manage-claude/rate-limits-api and the ``anthropic`` SDK 2.12
        (``organization.rate_limits``), read 2026-11-22. Limiters that the vendor adds later are left alone.
        """
        groups = self.admin(Call("/v1/organizations/rate_limits", {"group_type": "batch"}), _RateLimits).data
        held = [each.value for group in groups for each in group.limits if each.type == "enqueued_batch_requests"]
        return {"": min(held)} if held else {}

    def cleanup(self, batch: Batch) -> None:
        """Leave everything where it is.

        There are no files: requests and results are the batch's own, and Anthropic forgets them 29 days after its
        creation (FACTS §2.7). To delete the batch would remove the one proof of what was paid for.
        """


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
