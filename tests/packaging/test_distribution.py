"""What a user gets from ``pip install``: names, entry points, files."""

import importlib
import re
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hatchling.build import build_wheel

import airflow_provider_llmbatch

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE = "airflow_provider_llmbatch"

PUBLIC = [
    ("operators.job", "LLMBatchJobOperator"),
    ("operators.reconcile", "LLMBatchReconcileOperator"),
    ("operators.cancel", "LLMBatchCancelOperator"),
    ("sensors.job", "LLMBatchJobSensor"),
    ("triggers.job", "LLMBatchJobTrigger"),
    ("hooks.openai", "OpenAIBatchHook"),
    ("hooks.anthropic", "AnthropicBatchHook"),
    ("exceptions", "LLMBatchError"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    """The names of the files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(build(folder, patch)) as archive:
        return archive.namelist()


def build(folder, patch):
    """Build with the project's own back end, which reads the current folder."""
    patch.chdir(ROOT)
    return folder / build_wheel(str(folder))


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_is_where_the_documentation_says(module, name):
    assert hasattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


def test_the_entry_points_resolve():
    entry_points = [
        EntryPoint(name, value, group)
        for group, entries in {**PROJECT["entry-points"], "scripts": PROJECT.get("scripts", {})}.items()
        for name, value in entries.items()
    ]

    assert entry_points
    assert all(callable(entry_point.load()) for entry_point in entry_points)


def test_the_wheel_writes_into_no_namespace_but_ours(wheel):
    assert {name.split("/")[0] for name in wheel} == {
        PACKAGE,
        f"airflow_provider_llmbatch-{airflow_provider_llmbatch.__version__}.dist-info",
    }


@pytest.mark.parametrize("suffix", ["/py.typed", "/licenses/LICENSE", "/licenses/NOTICE", "/entry_points.txt"])
def test_the_wheel_carries(wheel, suffix):
    assert [name for name in wheel if name.endswith(suffix)]


def test_the_changelog_knows_this_version():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert airflow_provider_llmbatch.__version__ in headings
