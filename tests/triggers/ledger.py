"""A vendor in memory, for waiting: a test says how its batches stand, when it fails, and when it does not answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

from airflow_provider_llmbatch.exceptions import NotFoundError
from airflow_provider_llmbatch.hooks.calls import Call
from tests.contract.toy import ToyBatchHook


class LedgerHook(ToyBatchHook):
    """Talk to a dictionary.

    :ivar statuses: Every batch's status by its id.
    :ivar failures: Raised by the next calls, one each.
    :ivar calls: Every call's path.
    :ivar clients: How many clients are open.
    """

    default_conn_name = "ledger_default"
    vendor = "ledger"
    page_size = 100
    statuses: ClassVar[dict[str, str]] = {}
    failures: ClassVar[list[Exception]] = []
    calls: ClassVar[list[str]] = []
    cancelled: ClassVar[list[str]] = []
    clients: ClassVar[int] = 0

    @classmethod
    def reset(cls) -> None:
        cls.statuses.clear()
        cls.failures.clear()
        cls.calls.clear()
        cls.cancelled.clear()
        LedgerHook.clients = 0

    def get(self, call: Call) -> bytes:
        self.calls.append(call.path)
        if self.failures:
            raise self.failures.pop(0)
        if call.path == "list":
            return json.dumps({"batches": [self._shown(name) for name in self.statuses], "more": False}).encode()
        if call.path not in self.statuses:
            raise NotFoundError(f"ledger: no batch {call.path}", status=404)
        return json.dumps(self._shown(call.path)).encode()

    async def aget(self, call: Call, client: Any) -> bytes:
        await asyncio.sleep(0)
        return self.get(call)

    def _shown(self, name: str) -> dict[str, Any]:
        return {"batch_id": name, "status": self.statuses[name], "total": 2, "created_at": 1.0, "ended_at": 61.0}

    def cancel(self, batch_id: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.cancelled.append(batch_id)

    def async_client(self) -> Any:
        return _Client()


class _Client:
    async def __aenter__(self) -> _Client:
        await asyncio.sleep(0)
        LedgerHook.clients += 1
        return self

    async def __aexit__(self, *error: object) -> None:
        LedgerHook.clients -= 1
