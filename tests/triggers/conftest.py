"""Waiting without a network and without Airflow's database."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from airflow_provider_llmbatch.triggers import poller as module
from airflow_provider_llmbatch.vendors import VENDORS
from tests.triggers.ledger import LedgerHook


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> type[LedgerHook]:
    """An empty ledger, registered as a vendor with two connections."""
    LedgerHook.reset()
    monkeypatch.setitem(VENDORS, "ledger", "tests.triggers.ledger:LedgerHook")
    for name in ("LEDGER_DEFAULT", "ANOTHER"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", '{"conn_type": "generic", "password": "k"}')
    return LedgerHook


@pytest.fixture
def run(ledger: type[LedgerHook]) -> Any:
    """Run a coroutine; afterwards nothing of a poller may be left."""

    def to_the_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def checked() -> Any:
            try:
                return await asyncio.wait_for(coroutine, 20)
            finally:
                assert module._shared == {}
                assert asyncio.all_tasks() - {asyncio.current_task()} == set()
                assert ledger.clients == 0

        return asyncio.run(checked())

    return to_the_end
