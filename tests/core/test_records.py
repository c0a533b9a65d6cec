"""Rows get an index and a key, and what could not be matched again later is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.records import BLOCK_BYTES, BLOCK_ROWS, in_blocks, number
from airflow_provider_llmbatch.exceptions import InputError


def numbered(*rows, key=None):
    source = in_blocks((f"rows.csv, line {line}", row) for line, row in enumerate(rows, 2))
    return [record for block in number(source, key=key) for record in block.records()]


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
    endless = (("here", {"text": "a" * 1000}) for _ in iter(int, 1))
    blocks = number(in_blocks(endless), key=None)

    first, second = next(blocks), next(blocks)

    assert second.first == len(first.rows)


def test_a_block_is_cut_where_it_gets_large_and_never_grows_by_more_than_one_row():
    large = "x" * BLOCK_BYTES
    rows = [{"n": 0}, {"text": large}, {"messages": [{"content": large}]}, *({"n": n} for n in range(BLOCK_ROWS + 1))]

    blocks = list(in_blocks(("here", row) for row in rows))

    assert [len(block.rows) for block in blocks] == [2, 1, BLOCK_ROWS, 1]
    assert [row for block in blocks for row in block.rows] == rows


def test_columns_are_told_once_in_the_order_they_come():
    rows = [{"a": 1, "b": 2}, {"b": 3}, {"a": 4, "b": 5}, {"b": 6, "c": 7}, {"b": 8}]

    (block,) = number(in_blocks(("here", row) for row in rows), key=None)

    assert block.shapes == [("a", "b"), ("b",), ("b", "c")]


@given(st.lists(st.integers(), min_size=2), st.booleans(), st.data())
def test_the_parts_of_a_block_are_the_block(values, has_keys, data):
    rows = [{"id": value} for value in values]
    (block,) = number(in_blocks(("here", row) for row in rows), key="id" if has_keys else None)

    cut = data.draw(st.integers(0, len(values)))
    parts = [block.part(0, cut), block.part(cut, len(values))]

    assert [record for part in parts for record in part.records()] == list(block.records())


def test_a_record_keeps_its_own_copy_of_the_row():
    row = {"text": "before"}
    (record,) = numbered(row)

    row["text"] = "after"

    assert record.fields == {"text": "before"}
