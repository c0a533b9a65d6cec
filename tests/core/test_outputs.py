"""Which format a suffix asks for, and how a value stands in a CSV cell."""

import json

import pytest

from airflow_provider_llmbatch.core.outputs import cells, format_of, header
from airflow_provider_llmbatch.core.rows import COLUMNS
from airflow_provider_llmbatch.exceptions import OutputError


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://lake/labels.jsonl", "jsonl"),
        ("s3://lake/labels.ndjson", "jsonl"),
        ("labels.csv", "csv"),
        ("file:///tmp/LABELS.CSV", "csv"),
        ("s3://lake/a.csv/labels.jsonl", "jsonl"),
    ],
)
def test_the_suffix_decides_the_format(uri, expected):
    assert format_of(uri) == expected


@pytest.mark.parametrize("uri", ["labels", "labels.txt", "labels.csv.gz", "labels.csv/", "s3://lake/", ""])
def test_any_other_suffix_is_refused_before_anything_is_sent(uri):
    with pytest.raises(OutputError, match=r"must be one of \.jsonl, \.ndjson, \.csv.*Nothing was sent"):
        format_of(uri)


def test_the_header_is_the_records_columns_and_then_ours():
    assert header(["text", "n"]) == ["text", "n", *COLUMNS]


@pytest.mark.parametrize(
    ("value", "cell"),
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
def test_cell(value, cell):
    assert cells({"x": value}) == {"x": cell}


def test_data_in_a_cell_can_be_read_back():
    value = {"a": [1, {"b": "ü"}], "c": None}

    assert json.loads(cells({"x": value})["x"]) == value
