"""What Airflow is told about the package, against Airflow's own schema and against the code."""

import ast
import importlib
import inspect
import json
from importlib.resources import files

import jsonschema
import pytest

import airflow_provider_llmbatch.get_provider_info as module

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
