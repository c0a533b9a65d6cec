"""Ask about the values that configure Airflow itself: the records come from a function, one by one.

Shows   ``@task.llm_batch_job`` on a generator: nothing is written to a file first, and no record touches
        XCom; the next task gets the summary, and reads the answers from the output.
Needs   connection ``openai_default``.  With its host on the emulator the DAG runs without a key; with a
        key and no host it is the real thing.
Costs   nothing on the emulator; some 300 short questions at the vendor.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

OPENAI = "openai:gpt-6-luna"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"


@dag(schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER}, tags=["example", "llmbatch"])
def example_decorated():
    # [START howto_decorated]
    @task.llm_batch_job(
        model=OPENAI,
        system="You look after computers. Answer with one of: security, speed, storage, looks, other.",
        prompt="What is the setting {{ record.name }} about?\n\n{{ record.text }}",
        key="name",
        max_tokens=16,
        output_uri="{{ params.folder }}/settings.jsonl",
        deferrable=True,
    )
    def settings(skip: list[str]) -> Iterator[dict[str, str]]:
        """Yield every documented setting of this Airflow."""
        from airflow.configuration import retrieve_configuration_description

        for section, described in retrieve_configuration_description(include_providers=False).items():
            if section not in skip:
                for option, details in described["options"].items():
                    yield {"name": f"{section}.{option}", "text": (details["description"] or "").strip()}

    # [END howto_decorated]

    @task(multiple_outputs=False)
    def count(summary: dict) -> dict[str, int]:
        """Count the answers."""
        rows = map(json.loads, StringIO(ObjectStoragePath(summary["output_uri"]).read_text()))
        return dict(Counter(row["llm_output"] for row in rows).most_common())

    count(settings(skip=["logging", "sentry"]))


settings = example_decorated()
