"""The page for users shows code that runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_llmbatch.emulator import Emulator
from airflow_provider_llmbatch.emulator.faults import Fault, parse_fault
from airflow_provider_llmbatch.emulator.routes import ROUTES
from tests.emulator.conftest import raw

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/run-offline.md").read_text(encoding="utf-8")
REVIEWS = """
from airflow.sdk import dag
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator

@dag(schedule=None)
def reviews():
    LLMBatchJobOperator(
        task_id="label", model="openai:gpt-6-luna", source=[f"Review {n}: great phone." for n in range(10)],
        prompt="{{ record.prompt }} One of: positive, negative.", output_uri="file://FOLDER/labels.jsonl",
        base_uri="file://FOLDER/jobs", poll_interval=1, deferrable=False,
    )

reviews = reviews()
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.airflow
def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk")
    for block in blocks("python"):
        found = re.match(r"# tests/(\S+)\n", block)
        assert found
        (tmp_path / found[1]).write_text(block)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/reviews.py").write_text(REVIEWS.replace("FOLDER", str(tmp_path)))
    settings = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    environment = {**os.environ, **settings}

    for command in (["airflow", "db", "migrate"], ["pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]):
        run = subprocess.run(
            [sys.executable, "-m", *command], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_faults_on_the_page_are_faults() -> None:
    flags = re.findall(r'--fault "(.*?)"', PAGE)
    settings = {
        name for row in re.findall(r"^\| (`.*?`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    }
    single = {word.partition("=")[0] for name in settings for word in name.split() if "=" in word or "_" in word}

    assert len(flags) == 2
    for spec in flags:
        parse_fault(spec)
    rows = {"server_error", "overloaded_error", "context_length_exceeded", "invalid_json", "status_0"}
    assert single - rows <= set(Fault.__struct_fields__)


def test_the_connections_on_the_page_are_those_that_the_command_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_provider_llmbatch.emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        printed = [process.stdout.readline().strip() for _ in range(3)]
        process.terminate()
    port = re.search(r"127\.0\.0\.1:(\d+)", printed[0])
    assert port

    shown = blocks("bash")[1].splitlines()
    assert [line.replace(port[1], "8089") for line in printed[1:]] == shown


@pytest.mark.parametrize("operation", sorted(route.operation for route in ROUTES))
def test_every_operation_has_its_own_name(operation: str) -> None:
    assert [route.operation for route in ROUTES].count(operation) == 1
    assert operation.split(".")[0] in ("openai", "anthropic", "control")


def test_an_operation_that_is_no_route_is_logged_as_unknown(emulator: Emulator) -> None:
    raw(emulator, "GET", "/v1/nothing")

    assert [call["operation"] for call in emulator.calls()] == ["openai.unknown"]
