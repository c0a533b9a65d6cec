"""Turn every page of Python's manual into a vector, and find for each the page that is most like it.

Shows   another endpoint, ``/v1/embeddings``: the vector stands in the same table, beside its record.
Needs   connection ``openai_default``: on the emulator without a key (its vectors mean nothing), or the real thing.
"""

from __future__ import annotations

import json
import os
from operator import mul
from pathlib import Path
from pydoc_data.topics import topics

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODEL = "openai:text-embedding-3-small"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_embeddings():
    @task
    def collect(params: dict | None = None) -> None:
        """Write down what ``help()`` says of some 80 topics, half a megabyte."""
        folder = ObjectStoragePath(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "topics.jsonl").open("w") as file:
            file.writelines(json.dumps({"topic": name, "text": text}) + "\n" for name, text in sorted(topics.items()))

    # [START howto_embeddings]
    embed = LLMBatchJobOperator(
        task_id="embed",
        model=MODEL,
        endpoint="/v1/embeddings",
        source="{{ params.folder }}/topics.jsonl",
        prompt="{{ record.text[:8000] }}",  # the model reads 8,192 tokens
        request_params={"dimensions": 256},
        key="topic",
        output_uri="{{ params.folder }}/vectors.jsonl",
        deferrable=True,
    )
    # [END howto_embeddings]

    # [START howto_neighbours]
    @task(multiple_outputs=False)
    def neighbours(job: dict) -> dict[str, str]:
        """Return each topic with the one whose vector points most nearly the same way."""
        with ObjectStoragePath(job["output_uri"]).open() as lines:
            rows = [row for row in map(json.loads, lines) if row["llm_status"] == "succeeded"]
        vectors = {row["topic"]: row["llm_output"] for row in rows}

        def nearest(topic: str) -> str:
            others = vectors.keys() - {topic}
            return max(others, key=lambda other: sum(map(mul, vectors[topic], vectors[other])))

        return {topic: nearest(topic) for topic in vectors}

    # [END howto_neighbours]
    collect() >> embed
    neighbours(embed.output)


nearest = example_embeddings()
