"""One task, run by real Airflow against the emulator, with as many records as you like: ``make scale``.

The exit code is not 0 if a bound is broken: what Airflow's database has to keep, how much memory it took, or a record
that has no row, more than one, or was paid for twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import data
from tests.benchmarks.measure import KEY, begin_peak, peak_mb
from tests.benchmarks.report import machine

HERE = Path(__file__).resolve().parent
BOUNDS = {
    "XCom of the result, bytes": 2_000,
    "XCom of the progress, bytes": 2_000,
    "metadata database, growth in KB": 100,
    "peak memory over imports, MB": 250,
}
WARM_UP = 10
"""Records of the run before the one that is measured."""


def main() -> int:
    """Run, look at what is there now, and print the table."""
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--vendor", choices=sorted(data.MODELS), default="openai")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmbatch-scale-") as name, emulator(Path(name)) as url:
        facts = _measured(Path(name), url, asked.vendor, asked.count)
    print(f"{asked.count:,} records, {asked.vendor}; {machine()}\n\n| | |\n|---|---:|")
    for what, number in facts.items():
        print(f"| {what} | {number:,.1f} |" if isinstance(number, float) else f"| {what} | {number:,} |")
    broken = [f"{what}: {facts[what]:,.0f}, not below {most:,}" for what, most in BOUNDS.items() if facts[what] >= most]
    exact = ("rows in input order", "requests billed")
    broken += [f"{what}: {facts[what]:,}, not {asked.count:,}" for what in exact if facts[what] != asked.count]
    print("", *broken or ["Every bound holds."], sep="\n")
    return 1 if broken else 0


def _measured(home: Path, url: str, vendor: str, count: int) -> dict[str, Any]:
    """Run the task and return what it took and left behind."""
    for source, size in {"scale-in.jsonl": count, "warm_up-in.jsonl": WARM_UP}.items():
        data.records(home / source, size)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with (home / "airflow.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.benchmarks.scale", "task"]
        if subprocess.call(command, env=clean | _settings(home, vendor, url), stdout=log, stderr=log):
            sys.exit((home / "airflow.log").read_text(errors="replace")[-5000:])
    with urllib.request.urlopen(f"{url}/_emulator/bill") as reply:
        billed = json.load(reply)["total"]["requests_billed"] - WARM_UP
    return json.loads((home / "task.json").read_text()) | _left_behind(home) | {"requests billed": billed}


@contextlib.contextmanager
def emulator(home: Path) -> Iterator[str]:
    """Serve both vendors from a process of its own, and stop it."""
    command = [sys.executable, "-m", "airflow_provider_llmbatch.emulator", "--port=0", f"--state-dir={home}/emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            found = re.search(r"http://[\d.:]+", child.stdout.readline())  # type: ignore[union-attr]  # it is a pipe
            assert found
            yield found[0]
        finally:
            child.terminate()


def _settings(home: Path, vendor: str, url: str) -> dict[str, str]:
    host = f"{url}/v1" if vendor == "openai" else url
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT": json.dumps({"conn_type": "generic", "host": host, "password": KEY}),
        "SCALE_MODEL": f"{vendor}:{data.MODELS[vendor]}",
        "SCALE_HOME": str(home),
    }


def task() -> int:
    """Be Airflow: make a database, run the DAG in this process, and say what it took.

    A run of a few records comes first: it imports what Airflow, the SDK and we import on the way.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    home = Path(os.environ["AIRFLOW_HOME"])
    initdb()
    dags = DagBag(str(HERE / "dag_scale.py")).dags
    states = [str(dags["warm_up"].test().state)]
    size, peak, started = _database_kb(home), begin_peak(), time.perf_counter()
    states.append(str(dags["scale"].test().state))
    facts = {
        "Airflow's run, s": time.perf_counter() - started,
        "peak memory over imports, MB": peak_mb() - peak,
        "metadata database, growth in KB": _database_kb(home) - size,
    }
    (home / "task.json").write_text(json.dumps(facts))
    return 0 if states == ["success", "success"] else 1


def _database_kb(home: Path) -> float:
    """Return how much Airflow's database holds, written out as SQL: its file grows by pages, and hides a little."""
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        return sum(map(len, database.iterdump())) / 1000


def _left_behind(home: Path) -> dict[str, Any]:
    """Return what the job's own files say of its stages, and what Airflow and the output hold."""
    (job,) = (path.parent for path in home.glob("llmbatch/scale/**/job.json"))
    at: dict[str, list[float]] = {}
    for path in (job / "events").iterdir():
        at.setdefault(path.suffixes[-2], []).append(json.loads(path.read_bytes())["at"])
    moments = [json.loads((job / "job.json").read_bytes())["created_at"]]
    moments += [max(at[f".{kind}"]) for kind in ("prepared", "submitted", "ended", "collected")]
    moments.append((job / "summary.json").stat().st_mtime)
    stages = ("prepare, s", "submit, s", "wait, s", "collect, s", "write the rows, s")
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        sizes = dict(database.execute("select key, length(cast(value as blob)) from xcom where dag_id = 'scale'"))
    return {
        **{stage: after - before for stage, before, after in zip(stages, moments, moments[1:], strict=False)},
        "batches": len(at[".submitted"]),
        "XCom of the result, bytes": sizes["return_value"],
        "XCom of the progress, bytes": sizes["llm_batch_job"],
        "rows in input order": _rows(home / "scale-out.jsonl"),
    }


def _rows(output: Path) -> int:
    """Return how many rows there are; they must be in order, and good."""
    number = -1
    with output.open("rb") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            if (row["llm_index"], row["id"], row["llm_status"]) != (number, f"r{number:08}", "succeeded"):
                raise AssertionError(f"row {number} is {line[:200]!r}")
    return number + 1


if __name__ == "__main__":
    sys.exit(task() if sys.argv[1:] == ["task"] else main())
