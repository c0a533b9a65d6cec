"""A third vendor in one file: batches are folders on a disk, and the model answers in capitals.

A test registers it with one line (``VENDORS["toy"] = "tests.contract.toy:ToyBatchHook"``); the contract suite then
holds it to the same rules as the real ones. Its connection's host is a directory; the key is any text but ``wrong``.
"""

from __future__ import annotations

import json
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import Remedy, Result, Usage, not_answered
from airflow_provider_llmbatch.exceptions import CredentialError, NotFoundError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.hooks.calls import Call, Marker, Page


def _request(item: dict[str, Any]) -> Request:
    return Request(json.dumps(item).encode() + b"\n")


class ToyBatchHook(BatchHook):
    """Talk to a directory."""

    default_conn_name = "toy_default"
    conn_type = "toy"
    hook_name = "Toy"
    vendor = "toy"
    page_size = 3
    has_metadata = True
    LIMITS = Limits(max_requests=50, max_bytes=10_000, source="https://toy.invalid/docs", checked=date(2026, 11, 1))

    @property
    def root(self) -> Path:
        return Path(str(self.settings.base_url).removeprefix("file://"))

    def get(self, call: Call) -> bytes:
        if self.settings.api_key.startswith("wrong"):
            raise CredentialError("toy: the key is wrong", status=401)
        names = sorted((path.name for path in self.root.glob("batch_*")), reverse=True)
        if call.path == "list":
            after = call.params["after"]
            start = names.index(after) + 1 if after else 0
            page = names[start : start + call.params["limit"]]
            more = start + len(page) < len(names)
            return json.dumps({"batches": [self._state(name) for name in page], "more": more}).encode()
        if call.path not in names:
            raise NotFoundError(f"toy: no batch {call.path}", status=404)
        return json.dumps(self._state(call.path)).encode()

    async def aget(self, call: Call, client: Any) -> bytes:
        return self.get(call)

    def async_client(self) -> Any:
        return _NoClient()

    def _state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / name / "state.json").read_bytes())
        if (self.root / name / "cancelled").exists():
            return state | {"status": "cancelled", "ended_at": state["created_at"]}
        if time.time() - state["created_at"] > 0.3:
            return state | {"status": "completed", "ended_at": state["created_at"] + 0.3, "done": state["total"]}
        return state

    def list_call(self, after: str | None, limit: int) -> Call:
        return Call("list", {"after": after, "limit": limit})

    def read_page(self, reply: bytes) -> Page:
        document = json.loads(reply)
        batches = [msgspec.convert(item, Batch) for item in document["batches"]]
        return Page(batches, batches[-1].batch_id if document["more"] else None)

    def batch_call(self, batch_id: str) -> Call:
        return Call(batch_id)

    def read_batch(self, reply: bytes) -> Batch:
        return msgspec.json.decode(reply, type=Batch)

    def encode(self, custom_id: str, ask: Ask, endpoint: str | None) -> Request:
        return _request({"custom_id": custom_id, "model": ask.model, "text": ask.messages[-1]["content"]})

    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        item = json.loads(line) | {"custom_id": custom_id}
        return _request(item | ({"model": change.model} if change.model else {}))

    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        self.get(self.list_call(None, 1))
        lines = path.read_bytes().splitlines()
        name = f"batch_{len(list(self.root.glob('batch_*'))):06}"
        folder = self.root / name
        folder.mkdir(parents=True)
        answers = [self._answer(json.loads(line)) for line in lines]
        (folder / "results.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in reversed(answers)))
        batch = Batch(
            batch_id=name,
            status="in_progress",
            total=len(lines),
            done=0,
            created_at=time.time(),
            marker=marker.as_metadata(),
        )
        (folder / "state.json").write_bytes(msgspec.json.encode(batch))
        return batch

    @staticmethod
    def _answer(request: dict[str, str]) -> dict[str, str]:
        return {"custom_id": request["custom_id"], "model": request["model"], "answer": request["text"].upper()}

    def cancel(self, batch_id: str) -> None:
        self.get(self.batch_call(batch_id))
        (self.root / batch_id / "cancelled").touch()

    def download(self, batch: Batch, path: Path) -> None:
        shutil.copy(self.root / batch.batch_id / "results.jsonl", path)

    def parse(self, line: bytes) -> Result:
        item = json.loads(line)
        if "answer" not in item:
            return not_answered("errored", "toy_error", "The toy broke.", "retry")
        words = len(item["answer"].split())
        return Result(
            status="succeeded", output=item["answer"], model=item["model"], usage=Usage(input=words, output=words)
        )

    def remedy(self, code: str | None, status: int | None = None) -> Remedy:
        return "retry"


class _NoClient:
    async def __aenter__(self) -> _NoClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None
