"""Thirty small jobs at two vendors, for a test that kills Airflow's processes while they run."""

from __future__ import annotations

import os
from datetime import timedelta

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

FOLDER = os.environ.get("CHAOS_FOLDER", "nowhere")
JOBS = int(os.environ.get("CHAOS_JOBS", "30"))


@dag(schedule=None, catchup=False, default_args={"retries": 50, "retry_delay": timedelta(seconds=1)})
def chaos():
    for number in range(JOBS):
        LLMBatchJobOperator(
            task_id=f"job_{number:02}",
            model=("openai:gpt-6-luna", "anthropic:claude-haiku-5-5")[number % 2],
            source=f"{FOLDER}/in_{number:02}.jsonl",
            prompt=f"Job {number}: echo {{{{ record.text }}}}",
            output_uri=f"{FOLDER}/out_{number:02}.jsonl",
            base_uri=f"file://{FOLDER}/jobs",
            poll_interval=2,
            cancel_on_kill=False,
            deferrable=True,
        )


chaos()
