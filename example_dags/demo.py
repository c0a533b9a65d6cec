"""Run the docstring example on real Airflow, against the emulator: no key, no network, nothing left running.

``make demo`` calls this.  Everything it writes is in ``.demo/``: Airflow's home, the job folders, the outputs,
and ``logs/airflow.log`` with all that Airflow had to say.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent
HOME = HERE.parent / ".demo"
LOG = HOME / "logs" / "airflow.log"
DAG_ID = "example_label_docstrings"
BATCH = re.compile(r"Batch \S+ [-(].*?(?= +\[)")
EVERY = 20
"""Of so many records one goes first, as a trial: how long answers are, nobody knows before some were given."""


def main() -> int:
    """Run and report; the exit code says whether every record got an answer from both vendors."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # dag.test() takes a KeyboardInterrupt for a failed task, and goes on
    follow_parent()
    shutil.rmtree(HOME, ignore_errors=True)
    LOG.parent.mkdir(parents=True)
    screen = silence()
    started = time.monotonic()
    with emulator() as url, progress(screen):
        os.environ.update(settings(url))
        print(f"\nThe emulator is at {url}. Airflow starts; its own log is {relative(LOG)}\n", file=screen)
        print(f"A trial with one record of every {EVERY}:", file=screen)
        states = [run_dag(every=EVERY)]
        print("All records:", file=screen)
        states.append(run_dag(every=1))
    state = next((state for state in states if state != "success"), None)
    if state is not None:
        print(f"\nThe run ended as {state!r}; the reason is in {relative(LOG)}", file=screen)
        return 1
    for task_id, output in (("openai", "openai.jsonl"), ("anthropic", "anthropic.csv")):
        report(task_id, HOME / "llmbatch-examples" / output, screen)
    print(f"\nAll in {time.monotonic() - started:.0f} s. To look closer:", file=screen)
    print(f"  .venv/bin/airflow-llmbatch jobs {relative(HOME / 'llmbatch')}", file=screen)
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
def progress(screen: TextIO) -> Iterator[None]:
    """Show the lines of the log that say how the batches stand, each once, as they come."""
    stop, shown = threading.Event(), set()

    def follow() -> None:
        with LOG.open(encoding="utf-8", errors="replace") as log:
            while not stop.wait(0.2):
                for line in log:
                    if (found := BATCH.search(line)) and found[0] not in shown:
                        shown.add(found[0])
                        print(f"  {found[0]}", file=screen)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


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


def run_dag(every: int) -> str:
    """Make a database and run the DAG in this process, on one record of *every*; triggers run in line."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    return str(DagBag(HERE).dags[DAG_ID].test(run_conf={"every": every}).state)


def report(task_id: str, output: Path, screen: TextIO) -> None:
    trial, job = sorted(map(read_job, HOME.glob(f"llmbatch/{DAG_ID}/*/{task_id}")), key=lambda job: job["requests"])
    print(f"\n{job['vendor']}: {job['model']}", file=screen)
    for name, value in facts(trial, job, output):
        print(f"  {name:<9}{value}", file=screen)
    for row in some_rows(output):
        text = textwrap.shorten(row["text"], 60, placeholder=" ...")
        print(f"    {row['name']:<34.34} {row['llm_output']:<10.10} {text}", file=screen)


def read_job(folder: Path) -> dict[str, Any]:
    """Return what a job was expected to take and what it took."""
    estimate, summary = (json.loads((folder / f"{name}.json").read_bytes()) for name in ("estimate", "summary"))
    return {"estimate": estimate, "requests": estimate["requests"], **summary}


def facts(trial: dict[str, Any], job: dict[str, Any], output: Path) -> Iterator[tuple[str, str]]:
    counts, usage, estimate = job["counts"], job["usage"], job["estimate"]
    given, made = estimate["input_tokens"]["expected"], estimate["output_tokens"]["expected"]
    cost = estimate["cost_usd"]
    yield "records", f"{counts['total']:,} in {len(job['batch_ids'])} batches, {job['rounds']} rounds"
    yield "verdicts", ", ".join(f"{n:,} {name}" for name, n in counts.items() if n and name != "total")
    yield "trial", f"{trial['requests']:,} requests; its input, with nothing to learn from, was {off(*inputs(trial))}"
    yield "estimate", f"{given:,} tokens in, {made:,} out; {dollars(cost['expected'])} ± {dollars(cost['error'])}"
    yield "tokens", f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    yield "cost", f"{dollars(job['cost_usd'])} at batch prices, {dollars(job['sync_cost_usd'])} without"
    yield "off", f"the estimate was {off(cost['expected'], job['cost_usd'])}"
    yield "time", f"{job['seconds']:.1f} s"
    yield "output", relative(output)


def inputs(job: dict[str, Any]) -> tuple[int, int]:
    return job["estimate"]["input_tokens"]["expected"], job["usage"]["input_tokens"]


def off(expected: str | float, actual: str | float) -> str:
    """Say by how much an estimate was wrong."""
    share = float(expected) / float(actual) - 1
    return f"{abs(share):.1%} too {'high' if share > 0 else 'low'}"


def dollars(amount: str | None) -> str:
    return "unknown" if amount is None else f"{float(amount):.4f} USD"


def some_rows(path: Path) -> list[dict[str, Any]]:
    """Return three rows from all over the file, with a label that says something."""
    with path.open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines) if path.suffix == ".csv" else map(json.loads, lines)
        telling = [row for row in rows if row["llm_output"] not in ("", None, "other")]
    return [telling[len(telling) * part // 4] for part in (1, 2, 3)]


def relative(path: Path) -> str:
    return str(path.relative_to(HERE.parent))


if __name__ == "__main__":
    if sys.argv[1:2] == ["emulator"]:
        serve()
    else:
        sys.exit(main())
