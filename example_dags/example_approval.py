"""Ask a person before money is spent: what would it cost to explain every module of Python in one sentence?

Shows   a task that prepares and prices a job and sends nothing; Airflow's own ApprovalOperator, which shows the
        numbers and waits; and a task that sends what was prepared, under a cap, once somebody has approved.
Needs   Airflow 3.1 or later, and connection ``openai_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk import dag
except Exception:  # before Airflow 3.1 nobody can be asked, and this file has no DAG
    ApprovalOperator = None

MODEL = "openai:gpt-6-luna"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
MODULES = [{"module": name} for name in sorted(sys.stdlib_module_names) if not name.startswith("_")]
COST = """
{%- set estimate = ti.xcom_pull(task_ids="estimate")["estimate"] -%}
{{ estimate.requests }} requests with {{ estimate.input_tokens.expected }} tokens of input.
In batches: {{ estimate.cost_usd.expected or "up to " ~ estimate.cost_usd.at_most }} USD.
One by one: {{ estimate.sync_cost_usd.expected or "up to " ~ estimate.sync_cost_usd.at_most }} USD.
"""


def example_approval():
    # [START howto_approval]
    estimate = LLMBatchJobOperator(
        task_id="estimate",
        model=MODEL,
        source=MODULES,
        prompt="Explain Python's module {{ record.module }} in one sentence.",
        key="module",
        max_tokens=100,
        max_cost_usd=5,
        estimate_only=True,
    )
    approve = ApprovalOperator(task_id="approve", subject="Explain Python's modules?", body=COST)
    explain = LLMBatchReconcileOperator(
        task_id="explain",
        job=estimate.output,
        output_uri="{{ params.folder }}/modules.csv",
        deferrable=True,
    )
    estimate >> approve >> explain
    # [END howto_approval]


if ApprovalOperator is not None:
    dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])(
        example_approval
    )()
