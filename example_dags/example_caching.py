"""Ask many small questions about one long text: what does Python's manual say about each special method?

Shows   a prompt cache and the batch price together: the manual is written to the cache once, and read by all the rest.
Needs   connection ``anthropic_default``: on the emulator without a key (``--cache``), or the real thing.
"""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from pydoc_data.topics import topics

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODEL = "anthropic:claude-haiku-5-5"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
MANUAL = topics["specialnames"]
"""Sixty kilobytes."""
TYPES = [one for one in vars(builtins).values() if isinstance(one, type)]
METHODS = [{"method": name} for name in sorted({name for one in TYPES for name in vars(one) if name.startswith("__")})]


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_caching():
    # [START howto_cache]
    explain = LLMBatchJobOperator(
        task_id="explain",
        model=MODEL,
        source=METHODS,
        system=f"You know this page of Python's manual.\n\n{MANUAL}",
        prompt="In one sentence: when does Python call {{ record.method }}?",
        cache="system_and_tools",
        warm_cache=True,
        max_tokens=200,
        key="method",
        output_uri="{{ params.folder }}/methods.csv",
        deferrable=True,
    )
    # [END howto_cache]

    # [START howto_saved]
    @task(multiple_outputs=False)
    def compare(job: dict) -> str:
        """Say what the cache saved, and the batch price besides."""
        share = f"{job['cache_hit_ratio']:.0%} of the input came from the cache"
        return f"{share}, which saved {job['cache_saved_usd']} USD; the batch price saved {job['saved_usd']} USD"

    # [END howto_saved]
    compare(explain.output)


methods = example_caching()
