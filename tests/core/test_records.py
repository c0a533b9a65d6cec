"""Rows get an index and a key, and what could not be matched again later is refused."""

import pytest

from airflow_provider_llmbatch.core.records import number
from airflow_provider_llmbatch.exceptions import InputError


def numbered(*rows, key=None):
    return list(number(((f"rows.csv, line {line}", row) for line, row in enumerate(rows, 2)), key=key))


def test_without_a_key_column_the_index_names_the_record():
    records = numbered({"text": "a"}, {"text": "b"})

    assert [(record.index, record.key) for record in records] == [(0, "0"), (1, "1")]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        pytest.param("sku-1", "sku-1", id="text"),
        pytest.param(17, "17", id="integer"),
        pytest.param(0, "0", id="zero-is-a-name"),
        pytest.param(1.5, "1.5", id="number"),
        pytest.param(False, "False", id="false-is-a-name"),
        pytest.param("  ", "  ", id="blanks-are-kept"),
        pytest.param("Größe 東京", "Größe 東京", id="any-script"),
    ],
)
def test_a_key_column_names_the_record(value, key):
    assert [record.key for record in numbered({"id": value}, key="id")] == [key]


@pytest.mark.parametrize("row", [{"text": "a"}, {"id": None}, {"id": ""}], ids=["absent", "null", "empty"])
def test_a_record_without_its_key_is_refused(row):
    with pytest.raises(InputError, match=r"line 3: the key column 'id' is missing or empty.*Nothing was sent"):
        numbered({"id": "fine"}, row, key="id")


@pytest.mark.parametrize(("first", "second"), [("a", "a"), (5, "5")], ids=["same-text", "a-number-and-its-text"])
def test_a_key_that_came_before_is_refused_with_the_place_of_the_second(first, second):
    with pytest.raises(InputError, match=f"line 3: key 'id' = {str(second)!r} is a duplicate") as caught:
        numbered({"id": first}, {"id": second}, key="id")

    assert caught.value.context == {"index": 1, "key": str(second)}


def test_equal_records_without_a_key_column_are_different_records():
    assert len(numbered({"text": "same"}, {"text": "same"})) == 2


@pytest.mark.parametrize("column", ["llm_status", "llm_", "llm_anything"])
def test_a_column_that_starts_like_ours_is_refused(column):
    with pytest.raises(InputError, match=f"line 2: column '{column}' is reserved.*Rename the column"):
        numbered({"text": "a", column: "b"})


@pytest.mark.parametrize("column", ["llm", "LLM_status", "my_llm_status"])
def test_a_column_that_only_looks_a_little_like_ours_is_fine(column):
    assert numbered({column: "b"})[0].fields == {column: "b"}


def test_a_column_name_that_is_not_text_is_refused():
    with pytest.raises(InputError, match="column name 7 is not text"):
        numbered({7: "a"})


def test_rows_are_numbered_as_a_stream():
    endless = (("here", {"text": "a"}) for _ in iter(int, 1))
    records = number(endless, key=None)

    assert [next(records).index for _ in range(3)] == [0, 1, 2]


def test_a_record_keeps_its_own_copy_of_the_row():
    row = {"text": "before"}
    (record,) = numbered(row)

    row["text"] = "after"

    assert record.fields == {"text": "before"}
