"""`kill -9` of workers, triggerer and scheduler while thirty jobs run: one bill, every row once.

The emulator's books are the judge. The table that is printed says what was killed and what was paid.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.system.conftest import ROOT, members, processes, running_airflow, settings, wait_for

pytestmark = pytest.mark.chaos

JOBS, RECORDS, PER_BATCH = 30, 60, 25
SHARDS = -(-RECORDS // PER_BATCH)
KILLS = 24
TARGETS = ("worker", "worker", "triggerer", "scheduler")


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def find(sessions: list[int], target: str) -> list[int]:
    """Return the processes of *target* in our sessions."""
    words = {"worker": "airflow worker", "triggerer": "airflow triggerer", "scheduler": "airflow scheduler"}
    pids = [pid for session in sessions for pid in members(session)]
    return [pid for pid in pids if words[target] in command_line(pid)]


def write_sources(folder: Path) -> None:
    for job in range(JOBS):
        lines = (json.dumps({"n": n, "text": f"text {job}.{n}"}) + "\n" for n in range(RECORDS))
        (folder / f"in_{job:02}.jsonl").write_text("".join(lines))


def test_killing_airflow_s_processes_makes_no_second_bill_and_loses_no_row(tmp_path, capsys):
    write_sources(tmp_path)
    home = tmp_path / "airflow"
    home.mkdir()
    chance = random.Random(7)
    killed: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        emulator = stack.enter_context(Emulator(batch_seconds=6_000))
        env = settings(home, emulator, ROOT / "tests" / "dags") | quick(tmp_path)
        for vendor in ("OPENAI", "ANTHROPIC"):
            name = f"AIRFLOW_CONN_{vendor}_DEFAULT"
            env[name] = json.dumps(
                json.loads(env[name]) | {"extra": {"max_requests": PER_BATCH, "client_kwargs": {"timeout": 15}}}
            )
        airflow = stack.enter_context(running_airflow(home, env))
        sessions = [airflow.process.pid]

        def start(component: str) -> None:
            command = [sys.executable, "-m", "airflow", component]
            process = stack.enter_context(processes(command, env=env, log=home / f"{component}.log"))
            sessions.append(process.pid)

        run_id = airflow.trigger("chaos")
        for _ in range(KILLS):
            time.sleep(chance.uniform(1.0, 6.0))
            if airflow.run_state("chaos", run_id) == "success":
                break
            target = chance.choice(TARGETS)
            for pid in find(sessions, target)[-1:] if target == "worker" else find(sessions, target):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed[target] += 1
            if target != "worker":
                start(target)
        state = wait_for(
            "end of the run",
            lambda: airflow.run_state("chaos", run_id) in ("success", "failed") and airflow.run_state("chaos", run_id),
            seconds=600,
            every=2,
        )
        bill = emulator.bill()
        for pid in (pid for session in sessions for pid in members(session)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # the orphans of a killed scheduler wait for tasks that will never come

    batches = Counter(batch["sha256"] for batch in bill["batches"])
    lost, doubled = rows(tmp_path)
    with capsys.disabled():
        print(
            f"\n  killed: {dict(killed)}; jobs: {JOBS}; batches paid: {len(bill['batches'])} of {JOBS * SHARDS}; "
            f"requests billed: {bill['total']['requests_billed']:,}; rows lost: {lost}; rows doubled: {doubled}"
        )
    assert state == "success"
    assert sum(killed.values()) >= 5
    assert max(batches.values()) == 1
    assert len(bill["batches"]) == JOBS * SHARDS
    assert bill["total"]["requests_billed"] == JOBS * RECORDS
    assert (lost, doubled) == (0, 0)


def quick(folder: Path) -> dict[str, str]:
    """Settings that let Airflow notice a dead worker, triggerer or scheduler within seconds."""
    return {
        "CHAOS_FOLDER": str(folder),
        "CHAOS_JOBS": str(JOBS),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__CORE__PARALLELISM": "6",
    }


def rows(folder: Path) -> tuple[int, int]:
    """Count the rows that are missing from, or stand twice in, the outputs."""
    lost = doubled = 0
    for job in range(JOBS):
        lines = (folder / f"out_{job:02}.jsonl").read_bytes().splitlines()
        found = Counter(json.loads(line)["n"] for line in lines if json.loads(line)["llm_status"] == "succeeded")
        lost += RECORDS - len(found)
        doubled += sum(count - 1 for count in found.values())
    return lost, doubled
