"""Whatever the output is, a crash at any point loses no row, doubles none, and shows nothing half."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Literal

import pytest
from pyarrow import parquet
from pydantic import BaseModel

from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.engine import Done, advance
from airflow_provider_llmbatch.exceptions import OutputError, RunError
from airflow_provider_llmbatch.storage.tables import columns, parts
from tests.bench import Bench
from tests.engine.conftest import RECORDS
from tests.engine.crash import Crash

TEXTS = 60_000


class Review(BaseModel):
    label: Literal["good", "bad"]


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """An SQLite database behind the connection ``warehouse``; returns its rows when called."""
    pytest.importorskip("airflow.providers.sqlite")
    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))

    def rows():
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM labels ORDER BY llm_index")
            return [dict(row) for row in found]

    return rows


def to_table(scene, monkeypatch):
    """Make the scene's job load its rows into a table."""
    make = scene.job

    def job():
        found = make()
        object.__setattr__(found.terms, "output_uri", "sql://warehouse/labels")
        return found

    monkeypatch.setattr(scene, "job", job)


def complete(scene):
    for _ in range(30):
        if isinstance(advance(scene.job()), Done):
            return
        scene.bench.finish()
    raise AssertionError("the job does not end")


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_job_that_is_landed_again_leaves_the_same_rows_in_the_table(scene, warehouse, monkeypatch):
    scene.fresh()
    to_table(scene, monkeypatch)
    complete(scene)
    before, paid = warehouse(), scene.paid()

    complete(scene)

    assert warehouse() == before
    assert scene.paid() == paid
    assert [row["n"] for row in before] == list(range(RECORDS))
    assert {row["llm_job"] for row in before} == {scene.job().spec.job_id}
    summary = json.loads((scene.here / "job" / "summary.json").read_bytes())
    assert summary["output_uri"] == "sql://warehouse/labels"


@pytest.mark.parametrize("scene", ["one"], indirect=True)
def test_a_table_that_changed_under_way_stops_the_job_and_costs_nothing(scene, warehouse, monkeypatch, tmp_path):
    scene.fresh()
    to_table(scene, monkeypatch)
    advance(scene.job())
    paid = scene.paid()
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as connection:
        connection.execute("CREATE TABLE labels (n integer)")

    with pytest.raises(RunError, match="has no column llm_job and no llm_index"):
        complete(scene)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as connection:
        connection.execute("DROP TABLE labels")
    complete(scene)

    assert len(warehouse()) == RECORDS
    assert len(scene.paid()) >= len(paid)
    assert sum(count for count, _ in scene.paid()) == RECORDS + 3  # three rows were lost the first time


@pytest.mark.parametrize("scene", ["one"], indirect=True)
@pytest.mark.parametrize("uri", ["sql://nowhere/labels", "labels.xml", "sql://warehouse/"])
def test_an_output_that_cannot_be_written_costs_nothing(scene, warehouse, monkeypatch, uri):
    scene.fresh()
    job = scene.job()
    object.__setattr__(job.terms, "output_uri", uri)

    with pytest.raises(OutputError, match="Nothing was sent"):
        advance(job)

    assert scene.paid() == []


@pytest.mark.parametrize("scene", ["one"], indirect=True)
@pytest.mark.parametrize("vendor", ["openai"], indirect=True)
def test_a_crash_between_parts_leaves_no_folder_that_looks_complete(scene, monkeypatch):
    monkeypatch.setattr(parts, "PART_ROWS", 6)
    monkeypatch.setattr(columns, "PART_ROWS", 6)
    scene.fresh()
    folder = scene.here / "out.parquet"
    make = scene.job

    def job():
        found = make()
        object.__setattr__(found.terms, "output_uri", f"{folder}/")
        return found

    monkeypatch.setattr(scene, "job", job)
    scene.counter.arm(None)
    complete(scene)
    undisturbed = {path.name: path.read_bytes() for path in folder.iterdir()}
    scene.counter.arm(None)
    complete(scene)
    points = list(scene.counter.passed)
    assert sum("part-" in point for point in points) == 8

    for at in range(len(points)):
        if at % 2:
            (folder / "part-00009.parquet").write_bytes(b"left by a longer job")
        scene.counter.arm(at)
        with pytest.raises(Crash):
            complete(scene)
        if (folder / "_manifest.json").exists():
            for part in json.loads((folder / "_manifest.json").read_bytes())["parts"]:
                assert (folder / part["name"]).read_bytes() == undisturbed[part["name"]], points[at]
        scene.counter.arm(None)
        complete(scene)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == undisturbed, points[at]


def test_typed_answers_land_as_structs(bench, tmp_path):
    if bench.vendor == "toy":
        pytest.skip("the toy knows no types")
    records = [{"text": "It is good.", "tags": ["x"]}, {"text": "It is bad.", "tags": []}]
    schema = output_schema(Review)

    summary = bench.complete(
        lambda: bench.job(tmp_path, records, out="out.parquet", prompt="Review: {{ record.text }}", output=schema)
    )

    table = parquet.read_table(tmp_path / "out.parquet")
    assert [str(table.schema.field(name).type) for name in ("text", "tags", "llm_output")] == [
        "string",
        "list<element: string>",
        "struct<label: string>",
    ]
    assert [row["label"] for row in table.column("llm_output").to_pylist()] == ["good", "bad"]
    assert str(sum(table.column("llm_cost_usd").to_pylist())).rstrip("0") == summary["cost_usd"]


@pytest.mark.slow
def test_sixty_thousand_vectors_land_in_parquet_beside_their_records(emulator, monkeypatch, tmp_path):
    model = "text-embedding-3-small"
    bench = Bench("openai", model, emulator.openai_url, lambda: emulator.advance(100_000), monkeypatch)
    bench.connect()
    source = tmp_path / "in.jsonl"
    with source.open("w") as file:
        file.writelines(json.dumps({"n": n, "body": {"input": f"text {n}"}}) + "\n" for n in range(TEXTS))
    asked = {"endpoint": "/v1/embeddings", "params": {"dimensions": 8}, "max_tokens": None}

    bench.complete(lambda: bench.job(tmp_path, str(source), **asked))
    bench.complete(lambda: bench.job(tmp_path, str(source), out="out.parquet", **asked))

    file = parquet.ParquetFile(tmp_path / "out.parquet")
    assert str(file.schema_arrow.field("llm_output").type) == "list<element: double>"
    assert file.metadata.num_row_groups == TEXTS // columns.GROUP_ROWS
    with (tmp_path / "out.jsonl").open("rb") as lines:
        for batch in file.iter_batches(5_000, columns=["n", "llm_index", "llm_output"]):
            for row in batch.to_pylist():
                line = json.loads(next(lines))
                assert row == {name: line[name] for name in row}
                assert row["n"] == row["llm_index"]
    assert row["n"] == TEXTS - 1
