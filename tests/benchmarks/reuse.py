"""A daily job over a table that changes slowly: what each day takes and pays, the wait for the vendor left out.

``python -m tests.benchmarks.reuse --count 100000`` runs three days, in a process of its own and against an emulator in
another one: all is new; one row in a hundred changed; nothing changed. The exit code is not 0 if a day paid for
anything but what changed, or if the process took 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks import data
from tests.benchmarks.measure import Case, begin_peak, connect, cpu_seconds, peak_mb
from tests.benchmarks.report import machine
from tests.benchmarks.scale import emulator

if TYPE_CHECKING:
    from airflow_provider_llmbatch.engine import Job

DAYS = ("all is new", "1 % changed", "nothing changed")
STAGES = ("prepare", "submit", "collect", "land")
MOST_MB = 300
"""Of the whole process, Airflow, the SDK and the price table included."""
WARM_UP = 10


def main() -> int:
    """Run the days in a process of their own, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reuse", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--vendor", choices=sorted(data.MODELS), default="openai")
    asked = parser.parse_args()
    facts = measured(asked.vendor, asked.count)
    print(f"{asked.count:,} records, {asked.vendor}; {machine()}\n\n{table(facts)}")
    broken = broken_promises(facts, asked.count)
    print("", *broken or ["Every promise holds."], sep="\n")
    return 1 if broken else 0


def measured(vendor: str, count: int) -> dict[str, Any]:
    """Return what each day took, and the memory of the process."""
    with tempfile.TemporaryDirectory(prefix="llmbatch-reuse-") as name, emulator(Path(name)) as url:
        for day in (0, *range(1, len(DAYS) + 1)):
            _table(Path(name) / f"day-{day}.jsonl", count if day else WARM_UP, changed=day > 1)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        settings = {"AIRFLOW_HOME": name, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
        with (Path(name) / "log").open("wb") as log:
            command = [sys.executable, "-m", "tests.benchmarks.reuse", "days", vendor, url, name]
            if subprocess.call(command, env=clean | settings, stdout=log, stderr=log):
                sys.exit((Path(name) / "log").read_text(errors="replace")[-5000:])
        return json.loads((Path(name) / "facts.json").read_text())


def broken_promises(facts: dict[str, Any], count: int) -> list[str]:
    """Return what does not hold, in words."""
    found = [f"memory: {facts['peak_mb']:,.0f} MB, not below {MOST_MB}"] if facts["peak_mb"] >= MOST_MB else []
    for day, paid in zip(facts["days"], (count, count // 100, 0), strict=True):
        exact = {"paid": paid, "reused": count - paid, "rows": count}
        found += [f"{day['day']}: {day[what]:,} {what}, not {n:,}" for what, n in exact.items() if day[what] != n]
    return found


def table(facts: dict[str, Any]) -> str:
    """Return the days side by side, in Markdown."""
    names = (*STAGES, "sum, s", "÷ the first day", "CPU, s", "÷ the first day", "paid", "reused")
    lines = [f"| | {' | '.join(names)} |", "|---" + "|---:" * len(names) + "|"]
    first = sum(facts["days"][0][stage] for stage in STAGES), facts["days"][0]["cpu"]
    for day in facts["days"]:
        seconds = [day[stage] for stage in STAGES]
        ratios = sum(seconds) / first[0], day["cpu"], day["cpu"] / first[1]
        cells = [f"{number:.2f}" for number in (*seconds, sum(seconds), *ratios)]
        cells += [f"{day[what]:,}" for what in ("paid", "reused")]
        lines.append(f"| {' | '.join((day['day'], *cells))} |")
    over = facts["peak_mb"] - facts["imported_mb"]
    return "\n".join(lines) + f"\n\nMemory: {facts['peak_mb']:.0f} MB, {over:.0f} of them over the imports."


def _table(path: Path, count: int, *, changed: bool) -> None:
    """Write a day's table; *changed*: one row in a hundred is another than on the first day."""
    data.records(path, count)
    if changed:
        rows = path.read_text().splitlines(keepends=True)
        rows[7::100] = [row.replace("lorem", "LOREM", 1) for row in rows[7::100]]
        path.write_text("".join(rows))


def days(vendor: str, url: str, home: str) -> None:
    """Be the worker: the same job, day after day. A few records come first, and import what is imported on the way."""
    case = Case("reuse", vendor, home, url, 0)
    connect(case)
    document = json.loads(os.environ[f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT"])
    document["host"] = f"{url}/v1" if vendor == "openai" else url
    os.environ[f"AIRFLOW_CONN_{vendor.upper()}_DEFAULT"] = json.dumps(document)
    _day(0, vendor, Path(home), url)
    imported = begin_peak()
    found = [{"day": DAYS[day - 1]} | _day(day, vendor, Path(home), url) for day in range(1, len(DAYS) + 1)]
    facts = {"days": found, "imported_mb": imported, "peak_mb": peak_mb()}
    (Path(home) / "facts.json").write_text(json.dumps(facts))


def _day(day: int, vendor: str, home: Path, url: str) -> dict[str, Any]:
    from airflow_provider_llmbatch.engine import prepare, submit
    from airflow_provider_llmbatch.engine.collect import collect
    from airflow_provider_llmbatch.engine.finish import finish
    from airflow_provider_llmbatch.engine.prepare import prepare_next

    os.sync()  # a day has passed: what the one before wrote is on the disk
    job, before = _job(day, vendor, home), _billed(url)
    took: dict[str, Any] = {}

    def timed(stage: str, step: Callable[[], Any]) -> Any:
        began, cpu = time.perf_counter(), cpu_seconds()
        found = step()
        took[stage] = time.perf_counter() - began
        took["cpu"] = took.get("cpu", 0.0) + cpu_seconds() - cpu
        return found

    timed("prepare", lambda: prepare(job))
    timed("submit", lambda: submit(job))
    while _runs(job):
        time.sleep(0.2)
    timed("collect", lambda: collect(job))
    assert not prepare_next(job)
    summary = timed("land", lambda: finish(job))
    return took | {"paid": _billed(url) - before, "reused": summary["reused"]["rows"], "rows": _rows(home, day)}


def _job(day: int, vendor: str, home: Path) -> Job:
    from airflow_provider_llmbatch.core.requests import Question
    from airflow_provider_llmbatch.engine.begin import Identity, begin
    from airflow_provider_llmbatch.engine.job import Plan, Terms
    from airflow_provider_llmbatch.sources import open_source
    from airflow_provider_llmbatch.storage.layout import JobFolder
    from airflow_provider_llmbatch.vendors import load_hook

    question = Question(model=data.MODELS[vendor], prompt=data.PLAIN, system=data.SYSTEM)
    source = open_source(str(home / f"day-{day}.jsonl"))
    return begin(
        JobFolder(f"file://{home}/jobs/{day}"),
        Identity(dag_id="daily", run_id=str(day), task_id="ask"),
        load_hook(vendor, f"{vendor}_default"),
        Plan(question=question, source=source, reuse_uri=f"file://{home}/{'store' if day else 'elsewhere'}"),
        Terms(output_uri=f"{home}/out-{day}.jsonl"),
    )


def _runs(job: Job) -> bool:
    ids = [shard.batch_id for shard in job.manifest.open if shard.batch_id]
    return not all(batch.is_terminal for batch in job.hook.run(job.hook.look(ids)).values()) if ids else False


def _billed(url: str) -> int:
    with urllib.request.urlopen(f"{url}/_emulator/bill") as reply:
        return int(json.load(reply)["total"]["requests_billed"])


def _rows(home: Path, day: int) -> int:
    """Return how many rows there are; each must be good, in its place, and the answer to its own record."""
    number = -1
    with (home / f"out-{day}.jsonl").open("rb") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            if (row["llm_index"], row["id"], row["llm_status"]) != (number, f"r{number:08}", "succeeded"):
                raise AssertionError(f"row {number} is {line[:200]!r}")
            if (row["llm_round"] == 0) != (row["llm_cost_usd"] == "0"):
                raise AssertionError(f"row {number} is paid for, or not: {line[-200:]!r}")
    return number + 1


if __name__ == "__main__":
    sys.exit(days(*sys.argv[2:]) if sys.argv[1:2] == ["days"] else main())
