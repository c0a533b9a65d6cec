"""The DAGs of ``make scale``: one task each; the environment says where its files are."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

HOME = os.environ.get("SCALE_HOME", "nowhere")

for name in ("warm_up", "scale"):
    with DAG(dag_id=name, schedule=None, catchup=False) as found:
        LLMBatchJobOperator(
            task_id="ask",
            model=os.environ.get("SCALE_MODEL", "openai:gpt-6-luna"),
            source=f"{HOME}/{name}-in.jsonl",
            prompt="Label this review of {{ record.product }}: {{ record.text }} One of: good, bad.",
            output_uri=f"{HOME}/{name}-out.jsonl",
            poll_interval=1,
            deferrable=True,
        )
    globals()[name] = found
