"""A task that failed for too many bad rows hands its job on all the same."""

import json

import pytest

from tests.examples.test_examples import troubled  # noqa: F401 - the fixture

DAG = """
try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator


@dag(schedule=None, catchup=False)
def strict():
    ask = LLMBatchJobOperator(
        task_id="ask",
        model="openai:gpt-6-luna",
        source=["one", "two", "three"],
        max_rounds=1,
        max_failed_ratio=0,
        base_uri="file://{{folder}}/jobs",
        output_uri="{{folder}}/out.jsonl",
        poll_interval=1,
    )
    again = LLMBatchReconcileOperator(
        task_id="again",
        job=ask.output["llm_batch_job"],  # written while the job runs, so it is there when the task has failed
        reask=True,
        output_uri="{{folder}}/out.jsonl",
        trigger_rule="all_done",
        poll_interval=1,
    )
    ask >> again


strict()
"""


@pytest.mark.usefixtures("troubled")
def test_the_record_of_a_failed_task_leads_to_its_job(run, tmp_path, vendors):
    vendors.fault("openai.batches.create", row="server_error", index=[1], times=1)
    (tmp_path / "strict.py").write_text(DAG.replace("{{folder}}", str(tmp_path)))

    dag_run = run(tmp_path, "strict")

    states = {task.task_id: task.state for task in dag_run.get_task_instances()}
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert states == {"ask": "failed", "again": "success"}
    assert [(row["llm_round"], row["llm_status"]) for row in rows] == [
        (1, "succeeded"),
        (2, "succeeded"),
        (1, "succeeded"),
    ]
