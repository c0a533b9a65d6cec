"""Have every page of Python's manual put into one sentence, and get it from those too that fail at first.

Shows   rounds: an answer that was cut off gets more room, a page that is too long is shortened, and what one model
        cannot do goes to another; a limit for what may stay without an answer; a second task for the rest.
Needs   connection ``openai_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from pydoc_data.topics import topics

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.core.repairs import cut_middle
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.operators.reconcile import LLMBatchReconcileOperator

MODEL = "openai:gpt-6-luna"
LARGER = "openai:gpt-6-sol"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_failures():
    @task
    def collect(params: dict | None = None) -> None:
        """Write down what ``help()`` says of some 80 topics, half a megabyte."""
        folder = ObjectStoragePath(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "pages.jsonl").open("w") as file:
            file.writelines(json.dumps({"topic": name, "text": text}) + "\n" for name, text in sorted(topics.items()))

    # [START howto_failures]
    ask = LLMBatchJobOperator(
        task_id="ask",
        model=MODEL,
        source="{{ params.folder }}/pages.jsonl",
        prompt="Say in one sentence what this page is about.\n\n{{ record.text }}",
        key="topic",
        max_tokens=32,  # too few for some: those are asked again with 64
        max_rounds=3,
        repair=cut_middle("text"),  # for a page that is longer than the model can read
        fallback_model=LARGER,  # in the last round, and at once after a refusal
        max_failed_ratio=0.1,  # more than that without an answer fails the task
        output_uri="{{ params.folder }}/sentences.jsonl",
        deferrable=True,
    )
    # [END howto_failures]
    # [START howto_reask]
    ask_again = LLMBatchReconcileOperator(
        task_id="ask_again",
        job=ask.output,
        reask=True,
        fallback_model=LARGER,
        max_failed_ratio=0,  # now every page must have its sentence
        output_uri="{{ params.folder }}/sentences.jsonl",
        deferrable=True,
    )
    # [END howto_reask]
    collect() >> ask >> ask_again


sentences = example_failures()
