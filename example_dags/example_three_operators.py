"""Submit, wait and collect in three tasks: which of this machine's error messages are worth a second try?

Shows   one task that returns as soon as the vendor has accepted, a sensor that waits, and a task that
        collects, asks again for what failed, and writes.  The three may live in different DAGs or days.
Needs   connection ``openai_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator
from airflow_provider_llmbatch.sensors.job import LLMBatchJobSensor

MODEL = "openai:gpt-6-luna"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
ERRORS = [{"name": name, "text": os.strerror(code)} for code, name in sorted(errno.errorcode.items())]


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_three_operators():
    # [START howto_three_operators]
    submit = LLMBatchJobOperator(
        task_id="submit",
        model=MODEL,
        source=ERRORS,
        prompt="Answer with one of: retry, abort. A program meets this error: {{ record.text }}",
        key="name",
        max_tokens=16,
        wait_for_completion=False,
    )
    wait = LLMBatchJobSensor(task_id="wait", job=submit.output, deferrable=True)
    collect = LLMBatchReconcileOperator(
        task_id="collect",
        job=submit.output,
        output_uri="{{ params.folder }}/errors.csv",
        max_rounds=3,
        deferrable=True,
    )
    submit >> wait >> collect
    # [END howto_three_operators]


errors = example_three_operators()
