"""What Airflow is told about the package, against Airflow's own schema and against the code."""

import ast
import importlib
import inspect
import json
import re
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import airflow_provider_llmbatch.get_provider_info as module
from airflow_provider_llmbatch.hooks.settings import Settings

PAGE = Path(__file__).parents[2] / "docs/reference/connections.md"
INFO = module.get_provider_info()
CONNECTION_TYPES = [pytest.param(entry, id=entry["connection-type"]) for entry in INFO["connection-types"]]
MODULES = [
    name
    for kind in ("hooks", "operators", "sensors", "triggers")
    for entry in INFO[kind]
    for name in entry["python-modules"]
]


def load(dotted: str):
    """Import what a dotted name names."""
    module_name, _, attribute = dotted.rpartition(".")
    return getattr(importlib.import_module(module_name), attribute)


def test_airflows_schema_accepts_it():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)


def test_it_imports_nothing_since_every_airflow_process_reads_it():
    tree = ast.parse(inspect.getsource(module))

    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_it_names_is_there(name):
    assert importlib.import_module(name)


def test_an_integration_that_a_module_belongs_to_is_declared():
    declared = {entry["integration-name"] for entry in INFO["integrations"]}
    used = {e["integration-name"] for kind in ("hooks", "operators", "sensors", "triggers") for e in INFO[kind]}

    assert used == declared


@pytest.mark.parametrize("entry", CONNECTION_TYPES)
def test_a_connection_type_names_a_hook_that_knows_it(entry):
    hook = load(entry["hook-class-name"])

    assert hook.conn_type == entry["connection-type"]
    assert hook.hook_name == entry["hook-name"]


@pytest.mark.parametrize("entry", CONNECTION_TYPES)
def test_a_connection_type_is_not_one_of_the_official_providers(entry):
    assert entry["connection-type"] not in {"openai", "anthropic", "pydanticai"}


def test_the_forms_the_page_on_connections_and_the_code_know_the_same_extras():
    rows = re.findall(r"^\| (`.+?`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert documented == {field.name for field in fields(Settings)} - {"api_key", "base_url"} | {"model"}
    assert documented == {name for entry in INFO["connection-types"] for name in entry["conn-fields"]}


@pytest.mark.parametrize("entry", CONNECTION_TYPES)
def test_a_form_that_nobody_filled_in_says_what_a_connection_without_an_extra_says(entry, monkeypatch):
    blank = {name: field["schema"].get("default") for name, field in entry["conn-fields"].items()}

    found = []
    for extra in ({}, blank, dict.fromkeys(blank), dict.fromkeys(blank, "")):
        document = {"conn_type": entry["connection-type"], "password": "a-key", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_FORM", json.dumps(document))
        found.append(load(entry["hook-class-name"])("form").settings)

    assert found == [found[0]] * 4
