"""Real Airflow in this process, and connections on the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests import inline

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def dag_bag() -> Callable[[Path], Any]:
    """Make Airflow's database, and return how to load a folder of DAGs."""
    inline.make_database()
    return inline.dag_bag


@pytest.fixture(scope="session")
def vendors() -> Iterator[Emulator]:
    """Both vendors; a batch ends almost at once, and a row in fifty fails the first time it is asked."""
    faults = ["*.batches.create row=server_error rate=0.02 once"]
    with Emulator(batch_seconds=60, faults=faults) as running, pytest.MonkeyPatch.context() as patch:
        for vendor, host in (("openai", running.openai_url), ("anthropic", running.anthropic_url)):
            document = {"conn_type": f"llmbatch_{vendor}", "host": host, "password": "no-key-needed"}
            patch.setenv(f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT", json.dumps(document))
        yield running


@pytest.fixture
def run(dag_bag, vendors, tmp_path, monkeypatch) -> Run:
    """Return how to run one DAG of a folder to its end; its files go to *tmp_path*."""

    def run(folder: Path, dag_id: str, **conf: str) -> Any:
        monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(folder))  # Airflow 3 tests no DAG from elsewhere
        if find_spec("airflow.sdk") is None:  # Airflow 2 lets only this one use SQLite
            monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
        return dag_bag(folder).dags[dag_id].test(run_conf={"folder": f"file://{tmp_path}", **conf})

    return run
