"""One way of doing something, measured in a process of its own.

A way is a generator function of a :class:`Case`. What stands before its ``yield`` is the baseline: imports, the client,
what has to lie ready. What stands behind it is measured, and must fail if it did not do its work.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

CONN = "AIRFLOW_CONN_{}_DEFAULT"
KEY = "sk-bench-0123456789abcdef"


@dataclass(frozen=True)
class Case:
    """What a way is given.

    :ivar folder: For this case alone; it lives as long as the run.
    :ivar url: Where the stub server is; it has an address for us and one for the others.
    :ivar count: Records.
    """

    stage: str
    vendor: str
    folder: str
    url: str
    count: int

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def host(self, whose: str) -> str:
        """Return the vendor's address, as an SDK takes it."""
        return f"{self.url}/{whose}/v1" if self.vendor == "openai" else f"{self.url}/{whose}"


Way = Callable[[Case], Iterator[None]]


@dataclass(frozen=True)
class Cost:
    """What a way took, over its baseline: seconds, seconds of CPU, and megabytes at the peak, children included."""

    wall: float
    cpu: float
    mb: float


def measure(case: Case, way: str) -> Cost:
    """Run *way* in a new process.

    :raises RuntimeError: It failed; the message holds the end of what it printed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with tempfile.TemporaryDirectory(prefix="llmbatch-bench-") as home, open(f"{home}/out", "w+b") as out:
        command = [sys.executable, "-m", "tests.benchmarks.measure", way, json.dumps(asdict(case)), f"{home}/cost.json"]
        settings = {"AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
        process = subprocess.Popen(command, env=environment | settings, stdout=out, stderr=out)
        beside = 0.0
        while process.poll() is None:
            beside = max(beside, children_mb(process.pid))
            time.sleep(0.1)
        if process.returncode:
            out.seek(0)
            raise RuntimeError(f"{case.stage} {case.vendor} {way}: {out.read()[-3000:].decode(errors='replace')}")
        cost = Cost(**json.loads(Path(home, "cost.json").read_text()))
        return replace(cost, mb=cost.mb + beside)


def find(case: Case, way: str) -> Way:
    """Return the function *way* of the stage's module."""
    found: Way = getattr(import_module(f"tests.benchmarks.{case.stage}"), way)
    return found


def connect(case: Case, whose: str = "ours", **extra: object) -> None:
    """Set up the connection that our hook, and the official ones, take."""
    document = {"conn_type": "generic", "password": KEY, "host": case.host(whose), "extra": extra}
    os.environ[CONN.format(case.vendor.upper())] = json.dumps(document)


def begin_peak() -> float:
    """Forget earlier peaks, such as those of imports, and return how much memory this process has, in MB."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux, the earlier peak is the baseline
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """Return the most memory that this process has had. ``ru_maxrss`` would count the parent's, from before exec."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def children_mb(process: int) -> float:
    """Return what the children of *process* have in memory for themselves, in MB; what they inherited is its own."""
    found = 0
    with contextlib.suppress(OSError):  # not Linux, or gone meanwhile
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return found / 1024


def cpu_seconds() -> float:
    """Return the CPU that this process, and the children that have ended, have taken."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _main(way: str, document: str, target: str) -> None:
    case = Case(**json.loads(document))
    steps = find(case, way)(case)
    next(steps)
    wall, cpu, mb = time.perf_counter(), cpu_seconds(), begin_peak()
    next(steps, None)
    cost = Cost(time.perf_counter() - wall, cpu_seconds() - cpu, peak_mb() - mb)
    Path(target).write_text(json.dumps(asdict(cost)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
