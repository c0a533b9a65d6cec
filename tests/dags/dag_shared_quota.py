"""Two tasks that one vendor's queue cannot hold at once: in a pool of one slot, and in none of their own."""

from __future__ import annotations

import os
from datetime import timedelta

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

FOLDER = os.environ.get("QUOTA_FOLDER", "nowhere")
POOL = "anthropic_batches"
RECORDS = 10
AGAIN = {"retries": 3, "retry_delay": timedelta(seconds=1)}
"""A slow scheduler may take the end of a deferral for the end of the task that is resumed already, and fails it."""


def two_jobs(**arguments: str) -> None:
    for name in ("first", "second"):
        LLMBatchJobOperator(
            task_id=name,
            model="anthropic:claude-haiku-5-5",
            source=[f"{name} question number {number}" for number in range(RECORDS)],
            base_uri=f"file://{FOLDER}/jobs",
            poll_interval=2,
            deferrable=True,
            **arguments,
        )


@dag(schedule=None, catchup=False, default_args=AGAIN)
def in_a_pool():
    two_jobs(pool=POOL)


@dag(schedule=None, catchup=False, default_args=AGAIN)
def in_no_pool():
    two_jobs()


in_a_pool()
in_no_pool()
