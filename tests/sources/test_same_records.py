"""The same rows give the same records, whatever they come in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.records import Record, number
from airflow_provider_llmbatch.sources import SqlSource, blocks_of, open_source
from airflow_provider_llmbatch.sources.function import FunctionSource

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("airflow.providers.sqlite")

NAMES = ["id", "text", "größe"]
# SQLite ends a text at NUL, and no Unicode text holds half a surrogate pair.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TABLES = st.lists(st.tuples(*[TEXT] * len(NAMES)), max_size=20)


def of_jsonl(rows, folder):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "rows.jsonl")


def of_gzip(rows, folder):
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(data))
    return str(folder / "rows.jsonl.gz")


def of_csv(rows, folder):
    text = io.StringIO()
    table = csv.DictWriter(text, NAMES, quoting=csv.QUOTE_ALL)
    table.writeheader()
    table.writerows(rows)
    (folder / "rows.csv").write_bytes(text.getvalue().encode("utf-8-sig"))
    return str(folder / "rows.csv")


def table_of(rows):
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in NAMES})


def of_parquet(rows, folder):
    pq.write_table(table_of(rows), folder / "rows.parquet", row_group_size=7)
    return str(folder / "rows.parquet")


def of_folder(rows, folder):
    (folder / "parts").mkdir(exist_ok=True)
    for part, start in enumerate(range(0, 20, 5)):
        pq.write_table(table_of(rows[start : start + 5]), folder / "parts" / f"{part}.parquet")
    return str(folder / "parts")


def of_sql(rows, folder):
    with closing(sqlite3.connect(folder / "rows.db")) as database:
        database.execute("drop table if exists t")
        database.execute('create table t (id text, text text, "größe" text)')
        database.executemany("insert into t values (?, ?, ?)", [tuple(row.values()) for row in rows])
        database.commit()
    return SqlSource("rows", "select * from t order by rowid")


SOURCES = {
    "jsonl": of_jsonl,
    "gzip": of_gzip,
    "csv": of_csv,
    "parquet": of_parquet,
    "folder": of_folder,
    "sql": of_sql,
    "arrow": lambda rows, folder: table_of(rows),
    "inline": lambda rows, folder: rows,
    "function": lambda rows, folder: FunctionSource(of_sql, None, lambda: iter(rows)),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    document = {"conn_type": "sqlite", "host": str(tmp_path / "rows.db")}
    monkeypatch.setenv("AIRFLOW_CONN_ROWS", json.dumps(document))
    return tmp_path


@pytest.mark.parametrize("kind", SOURCES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=TABLES)
def test_a_source_of_any_kind_gives_these_records(folder, kind, table):
    rows = [dict(zip(NAMES, row, strict=True)) for row in table]
    source = open_source(SOURCES[kind](rows, folder))

    assert [record for block in number(blocks_of(source), key=None) for record in block.records()] == [
        Record(index, str(index), row) for index, row in enumerate(rows)
    ]
