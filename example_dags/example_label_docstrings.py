"""Label every docstring of Python's standard library at two vendors, then see where they agree.

Shows   a file in, the same file out with an answer in every row; JSONL and CSV; two vendors side by
        side; waiting without holding a worker.
Needs   connections ``openai_default`` and ``anthropic_default``.  With their host on the emulator the DAG
        runs without a key (``make demo`` does that); with a key and no host it is the real thing.
Costs   nothing on the emulator.  The estimate of a real run is logged before anything is sent.
"""

from __future__ import annotations

import ast
import csv
import json
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

try:
    from airflow.sdk import ObjectStoragePath, dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

OPENAI = "openai:gpt-6-luna"
ANTHROPIC = "anthropic:claude-haiku-5-5"
SYSTEM = (
    "You sort documentation. Answer with one of: string, number, file, directory, process, thread, socket, "
    "message, time, class, module, test, error, other."
)
PROMPT = "What is {{ record.name }} about?\n\n{{ record.text }}"
FOLDER = f"file://{os.environ.get('AIRFLOW_HOME', Path.home() / 'airflow')}/llmbatch-examples"
NOT_LIBRARY = {"site-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}


def docstrings(node: ast.AST, name: str, module: str) -> Iterator[dict[str, str]]:
    """Read a module's docstrings from its source, outer ones first; nothing is imported."""
    if text := ast.get_docstring(node):
        yield {"name": name, "module": module, "kind": type(node).__name__, "text": text[:400]}
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from docstrings(child, f"{name}.{child.name}", module)


def library() -> Iterator[dict[str, str]]:
    """Go through the standard library, always in the same order."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if NOT_LIBRARY.isdisjoint(parts):
            module = ".".join(parts).removesuffix(".__init__")
            yield from docstrings(ast.parse(path.read_bytes()), module, module)


@dag(
    schedule=None, catchup=False, max_active_runs=1, params={"folder": FOLDER, "every": 1}, tags=["example", "llmbatch"]
)
def example_label_docstrings():
    @task
    def collect(params: dict | None = None) -> int:
        """Write the records, or one of every few for a trial, twice: to show both formats."""
        records = list({record["name"]: record for record in library()}.values())[:: params["every"]]
        folder = ObjectStoragePath(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "docstrings.jsonl").open("w") as jsonl, (folder / "docstrings.csv").open("w") as table:
            jsonl.writelines(json.dumps(record) + "\n" for record in records)
            writer = csv.DictWriter(table, fieldnames=records[0])
            writer.writeheader()
            writer.writerows(records)
        return len(records)

    # [START howto_job]
    openai = LLMBatchJobOperator(
        task_id="openai",
        model=OPENAI,
        source="{{ params.folder }}/docstrings.jsonl",
        system=SYSTEM,
        prompt=PROMPT,
        key="name",
        max_tokens=16,
        output_uri="{{ params.folder }}/openai.jsonl",
        deferrable=True,
    )
    # [END howto_job]
    anthropic = LLMBatchJobOperator(
        task_id="anthropic",
        model=ANTHROPIC,
        source="{{ params.folder }}/docstrings.csv",
        system=SYSTEM,
        prompt=PROMPT,
        key="name",
        max_tokens=16,
        output_uri="{{ params.folder }}/anthropic.csv",
        deferrable=True,
    )

    # [START howto_read]
    @task(multiple_outputs=False)
    def compare(params: dict | None = None) -> dict[str, str]:
        """For each label of the first vendor: how often the second chose the same."""
        folder = ObjectStoragePath(params["folder"])
        rows = map(json.loads, StringIO((folder / "openai.jsonl").read_text()))
        first = {row["llm_key"]: row["llm_output"] for row in rows if row["llm_status"] == "succeeded"}
        rows = csv.DictReader(StringIO((folder / "anthropic.csv").read_text()))
        second = {row["llm_key"]: row["llm_output"] for row in rows}
        total = Counter(first.values())
        same = Counter(label for key, label in first.items() if second[key] == label)
        return {label: f"{same[label]:,} of {n:,}" for label, n in total.most_common(10)}

    # [END howto_read]

    collect() >> [openai, anthropic] >> compare()


labels = example_label_docstrings()
