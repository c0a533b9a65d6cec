"""Where an ``output_uri`` leads, and how a value stands in a CSV cell."""

import json

import pytest

from airflow_provider_llmbatch.core.outputs import Target, cell, header, target_of
from airflow_provider_llmbatch.core.rows import COLUMNS
from airflow_provider_llmbatch.exceptions import OutputError


@pytest.mark.parametrize(
    ("uri", "expected", "is_folder"),
    [
        ("s3://lake/labels.jsonl", "jsonl", False),
        ("s3://lake/labels.ndjson", "jsonl", False),
        ("s3://lake/labels.jsonl.gz", "jsonl.gz", False),
        ("labels.csv", "csv", False),
        ("file:///tmp/LABELS.CSV", "csv", False),
        ("s3://lake/labels.parquet", "parquet", False),
        ("s3://lake/a.csv/labels.jsonl", "jsonl", False),
        ("s3://lake/labels.parquet/", "parquet", True),
        ("labels.csv/", "csv", True),
        ("s3://lake/labels/", "jsonl", True),
        ("s3://lake/v1.2/", "jsonl", True),
        ("labels/", "jsonl", True),
    ],
)
def test_the_suffix_decides_the_format_and_a_slash_asks_for_a_folder(uri, expected, is_folder):
    assert target_of(uri) == Target(uri=uri, format=expected, is_folder=is_folder)


@pytest.mark.parametrize(
    ("uri", "conn_id", "names"),
    [
        ("sql://warehouse/labels", "warehouse", ("labels",)),
        ("sql://ware-house.eu/public.labels", "ware-house.eu", ("public", "labels")),
        ("sql://warehouse/db.public.labels", "warehouse", ("db", "public", "labels")),
        ('sql://warehouse/la"bels; DROP', "warehouse", ('la"bels; DROP',)),
    ],
)
def test_a_table_has_a_connection_and_a_name(uri, conn_id, names):
    assert target_of(uri) == Target(uri=uri, conn_id=conn_id, names=names)


@pytest.mark.parametrize("uri", ["labels", "labels.txt", "labels.csv.gz", "s3://lake/", "s3://lake", "/", ""])
def test_any_other_suffix_is_refused_before_anything_is_sent(uri):
    with pytest.raises(OutputError, match=r"must be one of \.jsonl, .*\.csv, \.parquet; .*Nothing was sent"):
        target_of(uri)


@pytest.mark.parametrize("uri", ["sql://", "sql://db", "sql://db/", "sql:///t", "sql://db/.t", "sql://db/a.b.c.d"])
def test_a_table_without_a_name_is_refused_before_anything_is_sent(uri):
    with pytest.raises(OutputError, match=r"sql://conn_id/table.*Nothing was sent"):
        target_of(uri)


def test_the_header_is_the_records_columns_and_then_ours():
    assert header(["text", "n"]) == ["text", "n", *COLUMNS]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param('text, with "quotes"\nand lines', 'text, with "quotes"\nand lines', id="text"),
        pytest.param("", "", id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(0, 0, id="integer"),
        pytest.param(1.5, 1.5, id="number"),
        pytest.param(["a", None], '["a",null]', id="list"),
        pytest.param({"colour": "grün"}, '{"colour":"grün"}', id="mapping"),
        pytest.param([], "[]", id="empty-list"),
    ],
)
def test_cell(value, expected):
    assert cell(value) == expected


def test_data_in_a_cell_can_be_read_back():
    value = {"a": [1, {"b": "ü"}], "c": None}

    assert json.loads(cell(value)) == value
