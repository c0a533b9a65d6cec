"""One task whose results are large enough to be read on several cores."""

from __future__ import annotations

import os
from datetime import timedelta

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

FOLDER = os.environ.get("LARGE_FOLDER", "nowhere")
RECORDS, BATCHES = 30_000, 3


@dag(schedule=None, catchup=False, default_args={"retries": 3, "retry_delay": timedelta(seconds=1)})
def large_results():
    LLMBatchJobOperator(
        task_id="ask",
        model="openai:gpt-6-luna",
        source=f"file://{FOLDER}/in.jsonl",
        prompt="Say {{ record.n }}",
        output_uri=f"file://{FOLDER}/out.jsonl",
        base_uri=f"file://{FOLDER}/jobs",
        poll_interval=2,
        deferrable=True,
    )


large_results()
