"""In a task that Airflow runs, results are read on several cores, and nothing of the children is left."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.dags.dag_large_results import BATCHES, RECORDS
from tests.system.conftest import ROOT, running_airflow, settings, wait_for

pytestmark = pytest.mark.slow


def test_results_are_read_on_several_cores(tmp_path):
    home = tmp_path / "airflow"
    home.mkdir()
    (tmp_path / "in.jsonl").write_text("".join(f'{{"n": {number}}}\n' for number in range(RECORDS)))
    with Emulator(batch_seconds=6_000) as emulator:
        env = settings(home, emulator, ROOT / "tests" / "dags") | {"LARGE_FOLDER": str(tmp_path)}
        document = json.loads(env["AIRFLOW_CONN_OPENAI_DEFAULT"])
        document["extra"] = {"max_requests": RECORDS // BATCHES}
        env["AIRFLOW_CONN_OPENAI_DEFAULT"] = json.dumps(document)
        with running_airflow(home, env) as airflow:
            run_id = airflow.trigger("large_results")
            wait_for(
                "end of the run",
                lambda: airflow.run_state("large_results", run_id) in ("success", "failed"),
                seconds=300,
            )
            summary = airflow.result("large_results", run_id, "ask")
        bill = emulator.bill()

    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["n"] for row in rows] == [row["llm_index"] for row in rows] == list(range(RECORDS))
    assert {row["llm_status"] for row in rows} == {"succeeded"}
    assert (summary["counts"]["succeeded"], len(summary["batch_ids"])) == (RECORDS, BATCHES)
    logs = "".join(path.read_text() for path in (home / "logs").rglob("*.log"))
    assert ("processes read results beside this one" in logs) is (len(os.sched_getaffinity(0)) > 1)
    assert bill["total"]["requests_billed"] == RECORDS
