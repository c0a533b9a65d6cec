"""Ten times the records take no more memory: measured as the peak of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.slow
pytest.importorskip("pyarrow")
pytest.importorskip("airflow.providers.sqlite")

SMALL, LARGE = 100_000, 1_000_000
GROWTH = 30 << 20
"""Bytes that the larger one may take more; its rows alone take above 200 MB as Python objects."""

READ = """
import resource, sys
from airflow_provider_llmbatch.sources import SqlSource, open_source
from airflow_provider_llmbatch.sources.function import FunctionSource
kind, place, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "function":
    def made():
        return ({"n": n, "text": f"text {n} " * 10} for n in range(records))
    source = FunctionSource(made, None, made)
elif kind == "sql":
    source = SqlSource("rows", f"select n, text from rows where n < {records} order by n")
else:
    source = open_source(place)
count = sum(1 for _ in source.rows())
assert count == records, count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(kind: str, place: object, records: int) -> int:
    """Return the largest number of bytes that a process took to read *records*."""
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(place), str(records)],
        cwd=REPO,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return int(done.stdout.splitlines()[-1])


def write(kind, folder, records):
    """Write the rows and return where; a query needs no file of its own for each size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = (f"text {n} " * 10 for n in range(records))
    if kind == "parquet":
        with pq.ParquetWriter(
            folder / f"{records}.parquet", pa.schema([("n", pa.int64()), ("text", pa.string())])
        ) as file:
            for start in range(0, records, 50_000):
                numbers = range(start, start + 50_000)
                file.write_table(pa.table({"n": numbers, "text": [f"text {n} " * 10 for n in numbers]}))
        return folder / f"{records}.parquet"
    path = folder / f"{records}.jsonl"
    with path.open("w") as lines:
        lines.writelines(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts))
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "sql", "function"])
def test_a_million_records_take_no_more_memory_than_a_hundred_thousand(kind, tmp_path, monkeypatch):
    import sqlite3

    document = {"conn_type": "sqlite", "host": str(tmp_path / "rows.db")}
    monkeypatch.setenv("AIRFLOW_CONN_ROWS", json.dumps(document))
    if kind == "sql":
        with sqlite3.connect(tmp_path / "rows.db") as database:
            database.execute("create table rows (n integer primary key, text text)")
            database.executemany("insert into rows values (?, ?)", ((n, f"text {n} " * 10) for n in range(LARGE)))
        database.close()
    places = {
        records: write(kind, tmp_path, records) if kind in ("parquet", "jsonl") else "" for records in (SMALL, LARGE)
    }

    small, large = (peak(kind, places[records], records) for records in (SMALL, LARGE))

    assert large - small < GROWTH, f"{small:,} and {large:,} bytes"
