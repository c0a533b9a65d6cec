"""One operator and three, at both vendors, for tests that look at what a run leaves behind."""

from __future__ import annotations

import os

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor

SOURCE = os.environ.get("SOURCE", "nowhere.jsonl")


@dag(schedule=None, catchup=False)
def both_shapes():
    for model in ("openai:gpt-6-luna", "anthropic:claude-haiku-5-5"):
        vendor = model.partition(":")[0]
        asked = {"model": model, "source": SOURCE, "prompt": "Echo {{ record.text }}", "poll_interval": 1}
        LLMBatchJobOperator(task_id=f"{vendor}_one", deferrable=True, **asked)
        submit = LLMBatchJobOperator(task_id=f"{vendor}_submit", wait_for_completion=False, **asked)
        wait = LLMBatchJobSensor(task_id=f"{vendor}_wait", job=submit.output, deferrable=True, poke_interval=1)
        collect = LLMBatchReconcileOperator(
            task_id=f"{vendor}_collect", job=submit.output, poll_interval=1, deferrable=False
        )
        submit >> wait >> collect


both_shapes()
