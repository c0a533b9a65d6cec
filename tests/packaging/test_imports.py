"""What an import costs: Airflow parses every DAG file again and again, in processes that never call a vendor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
HEAVY = {"openai", "anthropic", "pandas", "pyarrow", "genai_prices", "httpx2"}
AT_WORK = tuple(f"airflow_provider_llmbatch.{name}" for name in ("emulator", "engine", "hooks", "storage", "triggers"))
"""What a task imports when it runs; the file that only describes the task does without."""
AT_PARSE_TIME = [
    "airflow_provider_llmbatch.get_provider_info",
    "airflow_provider_llmbatch.operators.job",
    "airflow_provider_llmbatch.operators.reconcile",
    "airflow_provider_llmbatch.operators.cancel",
    "airflow_provider_llmbatch.sensors.job",
    "airflow_provider_llmbatch.decorators.job",
    *sorted(f"example_dags.{path.stem}" for path in (ROOT / "example_dags").glob("example_*.py")),
]
MEASURE = """
import gc, importlib, json, sys, time
import airflow
try:
    from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath, dag, task
except ImportError:
    from airflow.decorators import dag, task
    from airflow.io.path import ObjectStoragePath
from airflow.configuration import conf
from airflow.triggers.base import BaseTrigger
dag("empty", schedule=None)(lambda: None)()  # the first DAG of a process brings more of Airflow
gc.collect()  # a look through all of Airflow's objects takes 0.1 s and would fall to whoever is measured
before, started = set(sys.modules), time.perf_counter()
importlib.import_module(sys.argv[1])
seconds, new = time.perf_counter() - started, set(sys.modules) - before
print(json.dumps({"seconds": seconds, "new": sorted(new), "all": sorted(sys.modules)}))
"""


def measure(module: str) -> dict:
    """Import *module* in a new process that has Airflow's authoring interface already."""
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, module], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", AT_PARSE_TIME)
def test_importing_it_brings_no_sdk_no_table_library_and_nothing_that_works(module, capsys):
    found = measure(module)

    assert not HEAVY & set(found["new"])
    assert not [name for name in found["new"] if name.startswith(AT_WORK)]
    with capsys.disabled():
        print(f"\n{module}: {found['seconds']:.3f} s and {len(found['new'])} modules more than Airflow itself")


def test_the_triggerer_gets_no_sdk_before_a_trigger_runs():
    assert not HEAVY & set(measure("airflow_provider_llmbatch.triggers.job")["new"])


def test_the_layers_hold():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
