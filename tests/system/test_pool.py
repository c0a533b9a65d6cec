"""Two tasks that share a quota wait for each other in a pool, and not in the vendor's queue."""

from __future__ import annotations

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.dags.dag_shared_quota import POOL, RECORDS
from tests.system.conftest import ROOT, running_airflow, settings, wait_for

pytestmark = pytest.mark.slow


def test_in_a_pool_that_counts_deferred_tasks_batches_never_meet(tmp_path):
    home = tmp_path / "airflow"
    home.mkdir()
    with Emulator(batch_seconds=18_000, queued_requests=2 * RECORDS - 1) as emulator:
        env = settings(home, emulator, ROOT / "tests" / "dags") | {"QUOTA_FOLDER": str(tmp_path)}
        with running_airflow(home, env) as airflow:
            airflow.call("POST", "pools", {"name": POOL, "slots": 1, "include_deferred": True})

            run_id = airflow.trigger("in_a_pool")

            state = wait_for("end of the run", lambda: ended(airflow, "in_a_pool", run_id), seconds=300)
            assert (state, creates(emulator)) == ("success", [200, 200])

            emulator.set_options(speed=0)  # the first batch does not end before the second has been tried
            airflow.trigger("in_no_pool")

            refusal = lambda: sorted(set(filter(None, creates(emulator)[2:]))) == [200, 429]  # noqa: E731
            wait_for("batch that finds the queue full", refusal)


def ended(airflow, dag_id, run_id):
    """Return the run's state once it is over, before that ``None``."""
    state = airflow.run_state(dag_id, run_id)
    return state if state in ("success", "failed") else None


def creates(emulator) -> list[int | None]:
    """Return how the vendor answered each attempt to create a batch; ``None``: not yet."""
    return [call["status"] for call in emulator.calls("anthropic.batches.create")]
