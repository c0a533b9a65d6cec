"""Let a model choose what to do: a worker process was ended by a signal, so is it started again, or is a person called?

Shows   Python functions offered as tools, in one batch; the calls arrive as data, and the next task carries them out.
Needs   connection ``anthropic_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Literal

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODEL = "anthropic:claude-haiku-5-5"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
SIGNALS = [{"name": one.name, "text": signal.strsignal(one)} for one in signal.Signals]


def start_again(delay: Literal["none", "a minute", "an hour"]) -> None:
    """Start the worker again: it was stopped, hung up, interrupted or terminated from outside."""


def call_a_person(team: Literal["platform", "application"], reason: str) -> None:
    """Have a person look: the worker met a fault, an illegal instruction, a bad call or an exceeded limit."""


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_tools():
    # [START howto_tools]
    choose = LLMBatchJobOperator(
        task_id="choose",
        model=MODEL,
        source=SIGNALS,
        system="You watch over the workers of a cluster. Call exactly one tool.",
        prompt="A worker was ended by the signal {{ record.name }}: {{ record.text }}.",
        tools=[start_again, call_a_person],
        key="name",
        output_uri="{{ params.folder }}/calls.jsonl",
        deferrable=True,
    )
    # [END howto_tools]

    # [START howto_act]
    @task(multiple_outputs=False)
    def act(job: dict) -> dict[str, list[str]]:
        """Carry out what was chosen; here, list it."""
        chosen: dict[str, list[str]] = {}
        with ObjectStoragePath(job["output_uri"]).open() as lines:
            for row in map(json.loads, lines):
                for call in row["llm_output"]["tool_calls"] if row["llm_status"] == "succeeded" else []:
                    chosen.setdefault(call["name"], []).append(f"{row['name']}: {call['arguments']}")
        return chosen

    # [END howto_act]
    act(choose.output)


calls = example_tools()
