"""What was put into a store is found, what was not is not, and nothing but what is asked for is read."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.core.records import end_with_text
from airflow_provider_llmbatch.core.results import Result, Usage
from airflow_provider_llmbatch.core.reuse import (
    OURS,
    UNKNOWN,
    Stored,
    as_ours,
    beside,
    cost_of,
    is_a_row,
    made_a_row,
    stored_line,
    thinking,
    usd_of,
    whole_rows,
)
from airflow_provider_llmbatch.core.rows import COLUMNS, Answer, Row
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.answers import Store
from airflow_provider_llmbatch.storage.index import Head
from airflow_provider_llmbatch.storage.lookup import Lookup
from airflow_provider_llmbatch.storage.tables.lines import JsonLines, joined
from tests.storage.stored import AT, DAY, digest, line, put


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(f"file://{tmp_path}/store")


def test_a_segment_without_an_index_is_not_there(store):
    name = put(store, 0, [digest(1)])
    store.folder.remove(f"{name}.index")

    assert store.segments() == []
    assert store.left_over(AT + 1) == [f"{name}.jsonl"]
    assert store.left_over(AT) == []


def test_segments_come_newest_first_and_not_from_before_the_time_that_counts(store):
    names = [put(store, number, [digest(number)]) for number in (2, 0, 1)]

    assert [segment.name for segment in store.segments()] == sorted(names, reverse=True)
    assert [segment.name for segment in store.segments(AT + DAY)] == [names[0], names[2]]
    assert [segment.created_at for segment in store.segments(AT + 2 * DAY)] == [AT + 2 * DAY]


def test_other_files_beside_the_segments_are_left_alone(store):
    put(store, 0, [digest(1)])
    for name in ("notes.index", "notes.jsonl", ".hidden.index"):
        store.folder.replace(name, b"mine")

    assert len(store.segments()) == 1
    assert store.left_over(AT * 2) == []


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: b"{}\n" + data, lambda data: data.replace(b'"schema":1', b'"schema":2')],
    ids=["cut short", "another head", "a later schema"],
)
def test_an_index_that_cannot_be_read_is_an_error_that_names_it(store, change):
    name = put(store, 0, [digest(1)])
    path = store.folder.path / f"{name}.index"
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(ManifestError, match=f"{name}.index"):
        Lookup(store.segments())


def test_the_head_says_what_is_in_a_segment(store):
    put(store, 0, map(digest, range(7)))
    (segment,) = store.segments()

    assert segment.read_head() == Head(created_at=AT, answers=7, vendor="openai", model="m")


def test_a_stored_answer_has_the_columns_of_a_row_that_cost_nothing():
    result = Result(status="succeeded", output={"a": 1}, finish_reason="stop", model="m", thinking="hm")
    row = Row(0, "0", b"{}\n", Answer(result, 0, "b", "c"), Usage(), 0, [])

    stored = json.loads(stored_line(digest(1), Answer(result, 1, "b", "c")))

    assert tuple(Stored.__struct_fields__)[1:-1] == OURS == COLUMNS[2:]
    assert {name: stored[name] for name in (*OURS, "llm_thinking")} == {
        name: value for name, value in row.as_columns(True).items() if name not in COLUMNS[:2]
    }
    lines = [line(digest(1), thinking=thought) for thought in (None, "hm", None)]
    assert thinking(3, b"".join(lines)) == 1


@pytest.mark.parametrize(
    ("usd", "cost"),
    [("0", 0), ("0.0012", 1_200_000_000_000), ("1E-15", 1), ("9223.372036854775807", 2**63 - 1), ("9223.4", UNKNOWN)],
)
def test_a_cost_is_a_whole_number_of_64_bits_or_not_known(usd, cost):
    assert cost_of(Decimal(usd)) == cost
    assert cost == UNKNOWN or usd_of(cost) == Decimal(usd)
    assert cost_of(None) == UNKNOWN


def test_an_answer_that_a_release_with_fewer_columns_stored_gets_those_of_this_one():
    now = line(digest(1), "text")
    fields = json.loads(now)
    del fields["llm_error_code"], fields["llm_cached_input_tokens"]

    assert as_ours(msgspec.json.encode(fields)) == now


@pytest.mark.parametrize(("thought", "is_there"), [(None, True), ("hm", True), (None, False)])
def test_a_line_beside_a_record_becomes_a_row_of_this_release(thought, is_there):
    stored = [line(digest(n), "text", thinking=thought) for n in range(2)]
    (_, ready), keyless = beside(stored, 6, [b'""', b'"key"']), beside(stored, 6, None)
    assert [json.loads(row)["llm_key"] for row in keyless] == ["6", "7"]
    fields = json.loads(ready)
    expected = {name: fields[name] for name in COLUMNS} | ({"llm_thinking": thought} if is_there else {})

    assert (fields["llm_index"], fields["llm_key"], is_a_row(ready)) == (7, "key", thought is None)
    fields |= {"llm_of_tomorrow": 1}
    del fields["llm_error_code"]
    assert list(json.loads(made_a_row(json.dumps(fields).encode(), is_there)).items()) == list(expected.items())


@given(own=st.dictionaries(st.text(max_size=3), st.text(max_size=5), min_size=1), thought=st.sampled_from([None, "hm"]))
def test_a_whole_row_is_the_record_and_the_columns_beside_it(own, thought):
    owns = [msgspec.json.encode(own | {"last": f"text {n}"}) + b"\n" for n in range(3)]
    lines = [line(digest(n), f"answer {n}", thinking=thought) for n in range(3)]
    file = io.BytesIO()

    JsonLines(file)(owns, beside(lines, 7, None))

    assert end_with_text(owns)
    assert whole_rows(owns, lines, 7) == file.getvalue() == b"".join(map(joined, owns, beside(lines, 7, None)))


@pytest.mark.parametrize("last", [b'{"a":1}\n', b"{}\n", b'{"a":"b" }\n', b'{"a":"b"}'])
def test_a_record_without_text_at_its_end_is_told(last):
    assert not end_with_text([b'{"a":"b"}\n', last])
