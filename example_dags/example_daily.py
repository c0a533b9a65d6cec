"""Ask the same of a table every day, and pay only for what changed: what time is it now in every zone of the world?

Shows   ``reuse_uri``: answers that are kept from run to run, a summary that says what that saved, and rows that say
        where their answer comes from.  Run it twice: with the parameter ``day`` before and after Europe's summer time.
Needs   connection ``openai_default``: on the emulator without a key, or the real thing.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

MODEL = "openai:gpt-6-luna"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
PARAMS = {"folder": FOLDER, "day": "2026-10-24"}


@dag(schedule=None, catchup=False, max_active_runs=1, params=PARAMS, tags=["example", "llmbatch"])
def example_daily():
    @task
    def write(params: dict | None = None) -> str:
        """Write the table as it is on that day: the zones, and how far their clocks are from UTC."""
        noon = datetime.fromisoformat(params["day"]).replace(hour=12, tzinfo=UTC)
        rows = [
            {"zone": zone, "hours": noon.astimezone(ZoneInfo(zone)).utcoffset() / timedelta(hours=1)}
            for zone in sorted(available_timezones())
        ]
        path = ObjectStoragePath(params["folder"]) / f"zones-{params['day']}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    # [START howto_daily]
    explain = LLMBatchJobOperator(
        task_id="explain",
        model=MODEL,
        source=write(),
        prompt="Clocks in {{ record.zone }} are {{ record.hours }} hours ahead of UTC. When is a good time to call?",
        max_tokens=100,
        key="zone",
        reuse_uri="{{ params.folder }}/answers",
        reuse_ttl=timedelta(days=90),
        output_uri="{{ params.folder }}/calls-{{ params.day }}.csv",
        deferrable=True,
    )
    # [END howto_daily]

    # [START howto_daily_report]
    @task
    def report(job: dict) -> str:
        """Say what this day cost, and what it would have cost."""
        kept = job["reused"]
        asked = job["counts"]["total"] - kept["rows"]
        return f"{asked} asked for {job['cost_usd']} USD; {kept['rows']} kept, which saved {kept['saved_usd']} USD"

    # [END howto_daily_report]
    report(explain.output)


calls = example_daily()
