"""A whole Airflow and a whole emulator as processes, for tests that are about processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llmbatch.emulator import Emulator

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, ready: Callable[[], Any], *, seconds: float = 180, every: float = 0.5) -> Any:
    """Return the first true answer of *ready*; a connection error is a "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answer := ready():
                return answer
        time.sleep(every)
    raise TimeoutError(f"no {what} within {seconds} s")


def members(session: int) -> list[int]:
    """Return the processes of a session, zombies left out; unlike a group, no child leaves it unawares."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


@contextlib.contextmanager
def processes(command: list[str], *, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* and all that it starts in a session of its own, and leave nothing of it behind."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, patience: float = 30) -> None:
    """Ask every process of the session to end; after *patience* seconds, make it."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid in members(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        with contextlib.suppress(TimeoutError):
            wait_for("end of the session", lambda: not running(process), seconds=patience, every=0.2)
            return


def running(process: subprocess.Popen[bytes]) -> list[int]:
    """Return what is left of the session."""
    process.poll()  # reaps the first one, so that it does not stay as a zombie
    return members(process.pid)


class Standalone:
    """One ``airflow standalone``, seen through its REST API."""

    def __init__(self, url: str, home: Path, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.home = home
        self.process = process

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def is_healthy(self) -> bool:
        health = self.call("GET", "monitor/health")
        return all(health[part]["status"] == "healthy" for part in health)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run as soon as the DAG is known, and return its id."""
        wait_for(f"DAG {dag_id}", lambda: self.knows(dag_id))
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})
        return self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]

    def knows(self, dag_id: str) -> bool:
        try:
            return bool(self.call("GET", f"dags/{dag_id}"))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of every task of a run."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        return self.call("GET", f"{task}/xcomEntries/return_value?deserialize=true")["value"]

    def slots(self, pool: str = "default_pool") -> dict[str, int]:
        return self.call("GET", f"pools/{pool}")


@pytest.fixture(scope="session")
def vendors() -> Iterator[Emulator]:
    """Both vendors on a port of this machine; a batch ends when a test says so."""
    with Emulator(speed=1, batch_seconds=80_000) as running:
        yield running


def connection(vendor: str, host: str) -> str:
    return json.dumps({"conn_type": f"llmbatch_{vendor}", "host": host, "password": "no-key-needed"})


def settings(home: Path, emulator: Emulator, dags: Path) -> dict[str, str]:
    """Return the environment of an Airflow of its own whose connections point at *emulator*."""
    port = free_port()
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW_CONN_OPENAI_DEFAULT": connection("openai", emulator.openai_url),
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT": connection("anthropic", emulator.anthropic_url),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@contextlib.contextmanager
def running_airflow(home: Path, env: dict[str, str]) -> Iterator[Standalone]:
    """Run ``airflow standalone``: scheduler, DAG processor, API server, triggerer, local workers."""
    command = [sys.executable, "-m", "airflow", "standalone"]
    with processes(command, env=env, log=home / "standalone.log") as process:
        airflow = Standalone(env["AIRFLOW__API__BASE_URL"], home, process)
        wait_for("healthy Airflow", airflow.is_healthy)
        yield airflow
    assert not running(process)


@pytest.fixture(scope="session")
def standalone(tmp_path_factory, vendors) -> Iterator[Standalone]:
    """A real Airflow on the example DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    with running_airflow(home, settings(home, vendors, ROOT / "example_dags")) as airflow:
        yield airflow
