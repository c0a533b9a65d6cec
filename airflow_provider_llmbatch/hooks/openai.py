"""OpenAI's Batch API, and services that look like it.

Facts and their sources: https://developers.openai.com/api/docs/guides/batch and the ``openai`` SDK 3.54, read
2026-11-22. What a request may say stands in ``_openai_bodies``, what may come back in ``_openai_answers``.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.limits import BYTES_PER_TOKEN, Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import Remedy, Result, not_answered
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.exceptions import BusyError, InputError, NotFoundError, RejectedError, VendorError
from airflow_provider_llmbatch.hooks._openai_answers import read_answer
from airflow_provider_llmbatch.hooks._openai_batches import read_batch
from airflow_provider_llmbatch.hooks._openai_errors import GENERIC, QUEUE_FULL, REMEDIES
from airflow_provider_llmbatch.hooks._openai_lines import Line, bound_of_line, cap_of_line, change_line, make_line
from airflow_provider_llmbatch.hooks._openai_plain import read_plain
from airflow_provider_llmbatch.hooks.calls import Call, Marker, Page, Steps
from airflow_provider_llmbatch.hooks.sdk import SdkHook, unpack

_DAY = 24 * 60 * 60
_UPLOAD_LIVES = 7 * _DAY
"""Seconds. A batch ends within some 26 hours, and an upload that never got its batch may wait days for one."""
_OUTPUT_LIVES = 30 * _DAY
"""Seconds; the most that OpenAI takes (FACTS §1.1), so that no paid answer is gone before somebody fetches it."""


class _RateLimit(msgspec.Struct):
    model: str
    batch_1_day_max_input_tokens: int | None = None


class _RateLimits(msgspec.Struct):
    """One page of a project's limits."""

    data: list[_RateLimit]
    has_more: bool | None = None
    last_id: str | None = None


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
    remedies = REMEDIES
    refuses_at_once = False

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
        batches = [read_batch(item) for item in items]
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
        return read_batch(msgspec.json.decode(reply))

    # -- asking ----------------------------------------------------------------------------------------------

    def encode(self, custom_id: str, ask: Ask, endpoint: str | None) -> Request:
        return make_line(custom_id, ask, endpoint)

    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        return change_line(custom_id, line, change)

    def cap_of(self, line: bytes) -> int | None:
        return cap_of_line(line)

    def bound_of(self, line: bytes) -> int | None:
        return bound_of_line(line)

    def stage(self, path: Path, name: str) -> dict[str, str]:
        client = self.client.with_options(max_retries=0)
        lives = self._expiry("expires_after", _UPLOAD_LIVES)
        with self.errors("POST /files"), path.open("rb") as file:
            uploaded = client.files.create(file=(name, file), purpose=self.settings.purpose, **lives)
        return {"input": uploaded.id}

    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        client = self.client.with_options(max_retries=0)
        with path.open("rb") as file:
            endpoint = msgspec.json.decode(file.readline(), type=Line).url
        body = {
            "input_file_id": staged["input"],
            "endpoint": endpoint,
            "completion_window": self.settings.completion_window,
            "metadata": marker.as_metadata(),
            **self._expiry("output_expires_after", _OUTPUT_LIVES),
        }
        try:
            with self.errors("POST /batches"):
                return read_batch(msgspec.json.decode(client.post("/batches", cast_to=bytes, body=body)))
        except RejectedError as error:
            if "Cannot find file" in error.message:  # an upload can take seconds to be seen (FACTS §1.4)
                raise BusyError(error.message, status=error.status, code=error.code, retry_after=5.0) from None
            raise

    def _expiry(self, name: str, seconds: int) -> dict[str, Any]:
        """Return the argument that lets a file be forgotten, where the connection does not say to leave it out."""
        return {name: {"anchor": "created_at", "seconds": seconds}} if self.settings.expire_files else {}

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

    read_plain = staticmethod(read_plain)

    def parse(self, line: bytes) -> Result:
        item = msgspec.json.decode(line)
        response = item.get("response") or {}
        body = response.get("body") or {}
        status = response.get("status_code") or 0
        if status == 200 and body and not item.get("error"):
            return self._judged(read_answer(body))
        problem = item.get("error") or body.get("error")
        if not problem:
            return not_answered("errored", f"http_{status}", "The answer is empty.", "retry")
        return self._failure(problem, status)

    def _judged(self, result: Result) -> Result:
        """Add to what a 200 says what would help; it may say that the request failed."""
        if result.status == "succeeded":
            return result
        message = self._masked(result.error_message or "")
        return msgspec.structs.replace(result, remedy=self.remedy(result.error_code), error_message=message)

    def _failure(self, problem: dict[str, Any], status: int) -> Result:
        code = str(problem.get("code") or problem.get("type") or f"http_{status}")
        message = str(problem.get("message") or "")
        remedy = self.remedy(code, status or None)
        verdicts: dict[str, Any] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
        return not_answered(verdicts.get(code, "errored"), code, self._masked(message), remedy)

    def remedy(self, code: str | None, status: int | None = None) -> Remedy:
        return super().remedy(None if status and code in GENERIC else code, status)

    def error_of(self, body: Any) -> tuple[str | None, str]:
        found = unpack(body)
        inner: dict[str, Any] = found["error"] if isinstance(found.get("error"), dict) else found
        return inner.get("code") or inner.get("type"), str(inner.get("message") or "no message")

    def queue_of(self, shard: Shard) -> str:
        return shard.lane.rpartition(" ")[2]  # each model has its own (FACTS §1.2)

    def load_of(self, shard: Shard) -> int:
        return -(-shard.bytes // BYTES_PER_TOKEN)  # it counts the tokens of the prompts

    def read_queues(self) -> dict[str, int]:
        """Return the prompt tokens that a project may have in each model's queue.

        Source: the API reference, "List project rate limits", and the ``openai`` SDK 3.54
        (``admin.organization.projects.rate_limits``), read 2026-11-22. The field is ``batch_1_day_max_input_tokens``,
        and it stands only with models that have a batch queue.

        :raises InputError: The connection names no project.
        """
        project = self.settings.project
        if not project:
            raise InputError(f"connection {self.conn_id!r} has an admin_key and names no project in its extra.")
        found: dict[str, int] = {}
        after: str | None = ""
        while after is not None:
            query = {"limit": self.page_size} | ({"after": after} if after else {})
            page = self.admin(Call(f"/organization/projects/{quote(project, safe='')}/rate_limits", query), _RateLimits)
            most = {item.model: item.batch_1_day_max_input_tokens for item in page.data}
            found |= {model: tokens for model, tokens in most.items() if tokens}
            after = page.last_id if page.has_more and page.data else None
        return found

    def is_queue_full(self, batch: Batch) -> bool:
        return batch.status == "failed" and any(error.code == QUEUE_FULL for error in batch.errors)

    def cleanup(self, batch: Batch) -> None:
        problem: VendorError | None = None
        for file_id in batch.files.values():
            try:
                with self.errors(f"DELETE /files/{file_id}"):
                    self.client.delete(f"/files/{file_id}", cast_to=bytes)
            except NotFoundError:
                continue
            except VendorError as error:  # the other files may go all the same
                problem = error
        if problem is not None:
            raise problem
