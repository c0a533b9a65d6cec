"""Run every way of every stage in turn, several times, and print the tables: ``make bench``."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.measure import Case, find, measure

SUBMIT = ["limit", "ours", "ours_from_records", "common_ai", "official", "sdk"]
LAND = ["limit", "ours", "common_ai", "lm_deluge", "sdk"]
STAGES = {
    ("prepare", "openai"): ["limit", "str_format", "ours_plain", "jinja", "ours_jinja", "lm_deluge"],
    ("submit", "openai"): SUBMIT,
    ("submit", "anthropic"): SUBMIT,
    ("land", "openai"): LAND,
    ("land", "anthropic"): LAND,
}
TITLES = {"prepare": "Prepare {:,} records", "submit": "Submit one batch", "land": "Land {:,} results"}


def main() -> int:
    """Measure and print; the exit code says whether every way did its work."""
    options = _options()
    options.home.mkdir(exist_ok=True)
    print(f"{report.machine()}; medians of {options.runs} runs.\n")
    found: dict[tuple[str, str], report.Costs] = {}
    broken: list[str] = []
    for (stage, vendor), ways in STAGES.items():
        asked = [way for way in ways if re.search(options.only, f"{stage} {vendor} {way}")]
        if asked:
            with tempfile.TemporaryDirectory(prefix="run-", dir=options.home) as folder, stub(folder) as url:
                case = Case(stage, vendor, folder, url, options.count)
                found[stage, vendor] = costs = _run(case, asked, options.runs, broken)
            told = {way: (find(case, way).__doc__ or "").strip() for way in costs}
            title = f"{TITLES[stage].format(options.count)}, {vendor}"
            print(*report.table(title, costs, told), sep="\n", flush=True)
    print(*report.claims(found), sep="\n")
    single = {
        " ".join(case): {way: list(map(asdict, runs)) for way, runs in costs.items()} for case, costs in found.items()
    }
    (options.home / "results.json").write_text(json.dumps({"machine": report.machine()} | single, indent=1))
    print(*broken, sep="\n", end="", file=sys.stderr)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="records; 1,000,000 takes an hour or more")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="regular expression on 'stage vendor way', such as 'land .* ours'")
    parser.add_argument("--home", type=Path, default=Path(".bench"), help="where results.json and scratch files go")
    return parser.parse_args()


def _run(case: Case, ways: list[str], runs: int, broken: list[str]) -> report.Costs:
    """Measure *ways* in turn, *runs* times. One that fails is told at the end, and not tried again."""
    measure(case, "make")
    costs: report.Costs = {way: [] for way in ways}
    for number in range(1, runs + 1):
        for way in list(costs):
            try:
                cost = measure(case, way)
            except RuntimeError as error:
                broken.append(str(error))
                del costs[way]
                continue
            costs[way].append(cost)
            told = f"{number}/{runs} {case.stage} {case.vendor} {way}"
            print(f"{told:<45} {cost.wall:8.2f} s {cost.cpu:8.2f} s CPU {cost.mb:8,.0f} MB", file=sys.stderr)
    return costs


@contextlib.contextmanager
def stub(folder: str) -> Iterator[str]:
    """Serve from a process of its own, and stop it."""
    command = [sys.executable, "-m", "tests.benchmarks.stub", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child.stdout.readline().strip()  # type: ignore[union-attr]  # it is a pipe
        finally:
            child.terminate()


if __name__ == "__main__":
    sys.exit(main())
