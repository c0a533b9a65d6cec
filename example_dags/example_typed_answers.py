"""Ask two vendors for an object instead of a text: what should a client do when it meets this HTTP status?

Shows   a Pydantic type as the form of every answer, at both vendors side by side; answers arrive checked, as data.
Needs   connections ``openai_default`` and ``anthropic_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODELS = {"openai": "openai:gpt-6-luna", "anthropic": "anthropic:claude-haiku-5-5"}
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
STATUSES = [{"code": status.value, "text": f"{status.phrase}. {status.description}"} for status in HTTPStatus]


class Advice(BaseModel):
    """What a client should do about an HTTP status."""

    reason: str = Field(description="One sentence")
    action: Literal["go on", "wait and retry", "change the request", "give up"]
    tries: Literal[0, 1, 3, 10] = Field(description="How often to try again")


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_typed_answers():
    @task(multiple_outputs=False)
    def compare(openai: dict, anthropic: dict) -> dict[str, int]:
        """Count the statuses on which both vendors advise the same action, by action."""
        tables = []
        for job in (openai, anthropic):
            with ObjectStoragePath(job["output_uri"]).open() as lines:
                rows = [row for row in map(json.loads, lines) if row["llm_status"] == "succeeded"]
            tables.append({(row["code"], row["llm_output"]["action"]) for row in rows})
        return dict(Counter(action for _, action in set.intersection(*tables)))

    # [START howto_typed]
    asked = [
        LLMBatchJobOperator(
            task_id=vendor,
            model=model,
            source=STATUSES,
            prompt="A server answers with HTTP status {{ record.code }}: {{ record.text }}",
            output_type=Advice,
            key="code",
            output_uri=f"{{{{ params.folder }}}}/advice-{vendor}.jsonl",
            deferrable=True,
        )
        for vendor, model in MODELS.items()
    ]
    # [END howto_typed]
    compare(*(job.output for job in asked))


advice = example_typed_answers()
