"""Records in Parquet files, data frames and other tables that speak Arrow."""

from __future__ import annotations

import pickle
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest

from airflow_provider_llmbatch.exceptions import InputError, SourceError
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.sources.tables import ArrowSource

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NOON = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
VALUES = [
    pytest.param(pa.array(["a", None]), ["a", None], id="text"),
    pytest.param(pa.array([1, 2**62]), [1, 2**62], id="integer"),
    pytest.param(pa.array([0.5, float("nan")]), [0.5, None], id="nan-is-null"),
    pytest.param(pa.array([True, None]), [True, None], id="truth"),
    pytest.param(pa.array([NOON]), ["2026-11-22T12:00:00.000005+02:00"], id="time-in-a-zone"),
    pytest.param(pa.array([NOON.replace(tzinfo=None)]), ["2026-11-22T12:00:00.000005"], id="time-without-a-zone"),
    pytest.param(pa.array([1_000_000_001], pa.timestamp("ns")), ["1970-01-01T00:00:01"], id="nanoseconds-are-cut"),
    pytest.param(
        pa.array([[1_000_000_001]], pa.list_(pa.timestamp("ns"))), [["1970-01-01T00:00:01"]], id="in-lists-too"
    ),
    pytest.param(
        pa.array([{"at": 1001}], pa.struct([("at", pa.time64("ns"))])), [{"at": "00:00:00.000001"}], id="and-in-structs"
    ),
    pytest.param(pa.array([date(2026, 11, 22)]), ["2026-11-22"], id="date"),
    pytest.param(pa.array([time(1, 2, 3)]), ["01:02:03"], id="time-of-day"),
    pytest.param(pa.array([timedelta(days=1, seconds=2)]), ["P1DT2S"], id="duration"),
    pytest.param(pa.array([Decimal("1.10")]), ["1.10"], id="decimal-keeps-its-digits"),
    pytest.param(pa.array([b"\x00\xff"]), ["AP8="], id="bytes-in-base64"),
    pytest.param(pa.array([[1, None], []]), [[1, None], []], id="list"),
    pytest.param(pa.array([{"b": [Decimal("2")], "a": None}]), [{"b": ["2"], "a": None}], id="struct"),
    pytest.param(pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"], id="categories"),
    pytest.param(pa.nulls(2), [None, None], id="nothing-at-all"),
]


def rows(source):
    return [row for _, row in source.rows()]


@pytest.fixture
def parquet(tmp_path):
    """Write a table to a file and open it as a source."""

    def make(table, **options):
        pq.write_table(table, tmp_path / "rows.parquet", **options)
        return open_source(str(tmp_path / "rows.parquet"))

    return make


@pytest.mark.parametrize(("values", "expected"), VALUES)
def test_values_are_what_json_has(parquet, values, expected):
    table = pa.table({"value": values})

    assert rows(parquet(table)) == rows(open_source(table)) == [{"value": value} for value in expected]


def test_rows_are_numbered_across_row_groups_and_columns_keep_their_order(parquet):
    table = pa.table({"z": range(5000), "a": [f"text {number}" for number in range(5000)]})
    found = list(parquet(table, row_group_size=700).rows())

    assert [row["z"] for _, row in found] == list(range(5000))
    assert list(found[0][1]) == ["z", "a"]
    assert found[4321][0].endswith("rows.parquet, row 4322")


def test_a_table_without_a_row_has_no_records(parquet):
    table = pa.table({"a": pa.array([], pa.string())})

    assert rows(parquet(table)) == rows(open_source(table)) == []


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"a,b\n1,2\n", lambda data: data[: len(data) // 2]])
def test_a_file_that_is_not_whole_is_named(parquet, tmp_path, damage):
    source = parquet(pa.table({"a": ["SECRET"] * 100}))
    (tmp_path / "rows.parquet").write_bytes(damage((tmp_path / "rows.parquet").read_bytes()))

    with pytest.raises(
        SourceError, match=r"rows\.parquet' is not Parquet, or is not whole.*Nothing was sent"
    ) as caught:
        rows(source)

    assert "SECRET" not in str(caught.value)


def test_a_column_that_appears_twice_is_refused(parquet):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])

    for source in (parquet(table), open_source(table)):
        with pytest.raises(SourceError, match=r"has 'a' more than once.*Nothing was sent"):
            rows(source)


def test_without_pyarrow_the_extra_is_named(parquet, monkeypatch):
    source = parquet(pa.table({"a": [1]}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(InputError, match=r"rows\.parquet' needs pyarrow.*Nothing was sent.*llmbatch\[parquet\]"):
        rows(source)


# -- tables in memory ----------------------------------------------------------------------------------------------


def frames():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"id": ["a", "b", "c"], "stars": [1, None, 3], "at": [NOON.replace(tzinfo=None)] * 3}
    return {
        "pandas": pandas.DataFrame(columns).astype({"stars": "Int64"}),
        "pandas-with-gaps": pandas.DataFrame({key: [*values, None] for key, values in columns.items()})
        .astype({"stars": "Int64"})
        .dropna(subset="id"),
        "polars": polars.DataFrame(columns),
        "pyarrow": pa.table(columns),
        "pyarrow-in-pieces": pa.concat_tables(pa.table(columns).slice(start, 1) for start in range(3)),
        "pyarrow-batch": pa.table(columns).to_batches()[0],
    }


def test_every_table_gives_the_same_records_and_the_same_identity():
    sources = {name: open_source(frame) for name, frame in frames().items()}
    expected = [
        {"id": key, "stars": stars, "at": "2026-11-22T12:00:00.000005"}
        for key, stars in (("a", 1), ("b", None), ("c", 3))
    ]

    assert {name: rows(source) for name, source in sources.items()} == dict.fromkeys(sources, expected)
    assert len({source.identity()["sha256"] for source in sources.values()}) == 1
    assert next(iter(sources.values())).identity()["records"] == 3


def test_an_index_that_has_no_name_is_not_a_column():
    frame = frames()["pandas-with-gaps"].drop(index=1)

    assert [list(row) for row in rows(open_source(frame))] == [["id", "stars", "at"]] * 2


def test_other_rows_are_another_identity():
    assert ArrowSource(pa.table({"a": [1]})).identity() != ArrowSource(pa.table({"a": [2]})).identity()
    assert ArrowSource(pa.table({"a": [1]})).identity() != ArrowSource(pa.table({"b": [1]})).identity()


def test_a_table_shows_none_of_its_rows():
    """Airflow writes a template field's text to its rendered view."""
    source = open_source(pa.table({"a": ["SECRET"]}))

    assert str(source) == "<rows of a Table>"
    assert "SECRET" not in str(source.identity())


def test_a_table_may_have_columns_with_the_names_of_a_source():
    frame = pytest.importorskip("pandas").DataFrame({"rows": [1], "identity": [2]})

    assert rows(open_source(frame)) == [{"rows": 1, "identity": 2}]


def test_a_stream_that_was_used_up_is_refused_rather_than_taken_for_empty():
    source = open_source(
        pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), pa.table({"a": [1]}).to_batches())
    )
    source.identity()

    with pytest.raises(SourceError, match=r"can be read only once.*Nothing was sent"):
        rows(source)


def test_a_table_survives_pickling():
    source = open_source(pa.table({"a": [1]}))

    assert pickle.loads(pickle.dumps(source)).identity() == source.identity()
