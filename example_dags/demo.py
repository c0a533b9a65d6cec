"""Run the docstring example on real Airflow, against the emulator: no key, no network, nothing left running.

``make demo`` calls this.  Everything it writes is in ``.demo/``: Airflow's home, the job folders, the outputs,
and ``logs/airflow.log`` with all that Airflow had to say.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent
HOME = HERE.parent / ".demo"
LOG = HOME / "logs" / "airflow.log"
DAG_ID = "example_label_docstrings"


def main() -> int:
    """Run and report; the exit code says whether every record got an answer from both vendors."""
    follow_parent()
    shutil.rmtree(HOME, ignore_errors=True)
    LOG.parent.mkdir(parents=True)
    screen = silence()
    started = time.monotonic()
    with emulator() as url:
        os.environ.update(settings(url))
        print(f"\nThe emulator is at {url}. Airflow starts ...", file=screen)
        state = run_dag()
    if state != "success":
        print(f"The run ended as {state!r}; the reason is in {LOG}", file=screen)
        return 1
    for task_id, output in (("openai", "openai.jsonl"), ("anthropic", "anthropic.csv")):
        report(task_id, HOME / "llmbatch-examples" / output, screen)
    print(f"\nAll in {time.monotonic() - started:.0f} s. Airflow's own log: {relative(LOG)}", file=screen)
    return 0


def follow_parent() -> None:
    """End within half a second of the process that started us, even if that one was killed outright."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def silence() -> TextIO:
    """Send Airflow's output to the log file; what is returned still writes to the terminal."""
    screen = os.fdopen(os.dup(1), "w", buffering=1)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return screen


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    """Serve both vendors from a child process, and stop it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "example_dags.demo", "emulator"],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; we stop the child when we are done with it
    )
    try:
        if url := child.stdout.readline().strip():  # type: ignore[union-attr]  # it is a pipe
            yield url
        else:
            raise RuntimeError(f"the emulator did not start; see {LOG}")
    finally:
        child.terminate()
        child.wait()


def serve() -> None:
    """Be the emulator, for as long as the demo lives. A row in a hundred fails the first time it is asked."""
    from airflow_provider_llmbatch.emulator import Emulator

    follow_parent()
    with Emulator(faults=["*.batches.create row=server_error rate=0.01 once"]) as running:
        print(running.url, flush=True)
        threading.Event().wait()


def settings(url: str) -> dict[str, str]:
    """Airflow's settings: a home of its own, and both connections on the emulator."""

    def connection(vendor: str, host: str) -> str:
        return json.dumps({"conn_type": f"llmbatch_{vendor}", "host": host, "password": "no-key-needed"})

    return {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_OPENAI_DEFAULT": connection("openai", f"{url}/v1"),
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT": connection("anthropic", url),
    }


def run_dag() -> str:
    """Make a database and run the DAG in this process; triggers run in line."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    return str(DagBag(HERE).dags[DAG_ID].test().state)


def report(task_id: str, output: Path, screen: TextIO) -> None:
    (path,) = HOME.glob(f"llmbatch/{DAG_ID}/*/{task_id}/summary.json")
    summary = json.loads(path.read_bytes())
    print(f"\n{summary['vendor']}: {summary['model']}", file=screen)
    for name, value in facts(summary, output):
        print(f"  {name:<9}{value}", file=screen)
    for row in first_rows(output, 3):
        print(f"    {row['name']:<24.24} {row['llm_output']:<12.12} {first_line(row['text'])}", file=screen)


def facts(summary: dict[str, Any], output: Path) -> Iterator[tuple[str, str]]:
    counts, usage = summary["counts"], summary["usage"]
    batches = len(summary["batch_ids"])
    yield "records", f"{counts['total']:,} in {batches} batches and {summary['rounds']} rounds"
    yield "verdicts", ", ".join(f"{n:,} {name}" for name, n in counts.items() if n and name != "total")
    yield "tokens", f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    yield "cost", f"{summary['cost_usd']} USD; {summary['sync_cost_usd']} USD without batches"
    yield "time", f"{summary['seconds']:.1f} s"
    yield "output", relative(output)


def first_rows(path: Path, n: int) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines) if path.suffix == ".csv" else map(json.loads, lines)
        return [row for row, _ in zip(rows, range(n), strict=False)]


def first_line(text: str) -> str:
    return text.strip().split("\n")[0][:60]


def relative(path: Path) -> str:
    return str(path.relative_to(HERE.parent))


if __name__ == "__main__":
    if sys.argv[1:2] == ["emulator"]:
        serve()
    else:
        sys.exit(main())
