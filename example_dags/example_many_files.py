"""Ask about many files at once, a job for each: which kinds of file can hold a program?

Shows   ``expand()``: one mapped task per file of a folder, each with a job, batches and an output of its own; a task
        that reads all outputs.  The workers may be many machines; they share nothing but the storage.
Needs   connection ``openai_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from io import StringIO
from mimetypes import MimeTypes
from pathlib import Path

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODEL = "openai:gpt-6-luna"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_many_files():
    @task
    def write(params: dict | None = None) -> None:
        """Write the kinds of file that Python knows, a file for each family: text, image, audio and so on."""
        folder = ObjectStoragePath(params["folder"]) / "kinds"
        folder.mkdir(parents=True, exist_ok=True)
        kinds = sorted(MimeTypes().types_map[True].items())
        for family in {kind.partition("/")[0] for _, kind in kinds}:
            records = [{"suffix": suffix, "kind": kind} for suffix, kind in kinds if kind.startswith(f"{family}/")]
            (folder / f"{family}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    # [START howto_many_files]
    @task
    def files(params: dict | None = None) -> list[str]:
        """List the files, in an order that stays."""
        return sorted(str(path) for path in (ObjectStoragePath(params["folder"]) / "kinds").glob("*.jsonl"))

    sources = files()
    label = LLMBatchJobOperator.partial(
        task_id="label",
        model=MODEL,
        prompt="Answer with one of: yes, no. Can a file {{ record.suffix }} ({{ record.kind }}) hold a program?",
        key="suffix",
        max_tokens=16,
        output_uri="{{ params.folder }}/programs/{{ '%05d' | format(ti.map_index) }}.jsonl",
        deferrable=True,
    ).expand(source=sources)

    @task(multiple_outputs=False)
    def count(jobs: list[dict]) -> dict[str, int]:
        """Count the answers in all outputs."""
        answers: Counter[str] = Counter()
        for job in jobs:
            rows = map(json.loads, StringIO(ObjectStoragePath(job["output_uri"]).read_text()))
            answers.update(row["llm_output"] or row["llm_status"] for row in rows)
        return dict(answers)

    # [END howto_many_files]
    write() >> sources
    count(label.output)


programs = example_many_files()
