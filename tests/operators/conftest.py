"""Operators called as Airflow calls them, without a database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import Bench, served


def context(task_id: str = "label", map_index: int = -1, try_number: int = 1) -> dict[str, Any]:
    """What an operator reads of Airflow's context."""
    ti = SimpleNamespace(
        dag_id="reviews", run_id="manual__2026-11-22", task_id=task_id, map_index=map_index, try_number=try_number
    )
    return {"ti": ti, "ds": "2026-11-22", "run_id": ti.run_id}


@pytest.fixture(params=["anthropic", "openai"])
def vendor(request, emulator, monkeypatch) -> Bench:
    """Both vendors in turn, on a clean emulator whose batches end within a second."""
    return served(request.param, emulator, monkeypatch)
