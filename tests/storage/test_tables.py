"""Rows are read back, by other people's readers, as what they were; their types do not depend on their order."""

from __future__ import annotations

import csv
import gzip
import json
import random
from typing import Literal

import msgspec
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import BaseModel

from airflow_provider_llmbatch.core.outputs import cell, header
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.core.rows import COLUMNS
from airflow_provider_llmbatch.core.schemas import Tool, output_schema
from airflow_provider_llmbatch.exceptions import OutputError
from airflow_provider_llmbatch.storage.tables import check_output, columns, writing
from airflow_provider_llmbatch.storage.tables.columns import Columns, promised
from airflow_provider_llmbatch.storage.tables.kinds import kind_of_schema

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "größer c"]), VALUES), max_size=6)
OURS = {
    "llm_key": "0", "llm_status": "succeeded", "llm_error_code": None, "llm_error_message": None,
    "llm_finish_reason": "stop", "llm_model": "m", "llm_round": 1, "llm_batch_id": "batch_1", "llm_custom_id": "x-1-0",
    "llm_input_tokens": 12, "llm_cached_input_tokens": 0, "llm_output_tokens": 3, "llm_cost_usd": "0.0000123",
}  # fmt: skip


def rows_of(records, outputs=()):
    """Return rows in the form that the engine writes them."""
    answers = [*outputs, *["fine"] * (len(records) - len(outputs))]
    return [
        {**record, **OURS, "llm_index": at, "llm_output": answer}
        for at, (record, answer) in enumerate(zip(records, answers, strict=True))
    ]


def halves(*rows):
    """Return rows as they are written: the records' own columns and ours, both as lines of JSON."""
    owns = [{name: value for name, value in row.items() if not name.startswith("llm_")} for row in rows]
    ours = [{name: row[name] for name in row if name not in own} for row, own in zip(rows, owns, strict=True)]
    return [msgspec.json.encode(own) + b"\n" for own in owns], [msgspec.json.encode(our) + b"\n" for our in ours]


def write(path, rows, output="null"):
    """Write *rows*; return the header."""
    own = sorted({name for row in rows for name in row if not name.startswith("llm_")})
    with writing(str(path), Columns(header(own), output), "0123456789") as put:
        for some in (rows[:1], rows[1:]):
            put(*halves(*some))
    return header(own)


def stripped(value):
    """Return *value* without the fields that are null: to Parquet, a field that is not there is one that is null."""
    if isinstance(value, dict):
        return {name: stripped(item) for name, item in value.items() if item is not None}
    return [stripped(item) for item in value] if isinstance(value, list) else value


def decoded(value, field):
    """Return a value of a Parquet file with its JSON text read."""
    if value is None:
        return None
    if pyarrow.types.is_list(field.type):
        return [decoded(item, field.type.value_field) for item in value]
    if pyarrow.types.is_struct(field.type):
        return {name: decoded(item, field.type.field(name)) for name, item in value.items()}
    return json.loads(value) if (field.metadata or {}).get(b"content") == b"json" else value


def read_parquet(path):
    table = parquet.read_table(path)
    return [
        {name: decoded(value, table.schema.field(name)) for name, value in row.items()} for row in table.to_pylist()
    ]


@settings(max_examples=50, deadline=None)
@given(records=RECORDS, suffix=st.sampled_from(["jsonl", "jsonl.gz"]))
def test_json_lines_hold_the_very_rows(tmp_path_factory, records, suffix):
    path, rows = tmp_path_factory.mktemp("out") / f"rows.{suffix}", rows_of(records)

    write(path, rows)

    with gzip.open(path) if suffix.endswith("gz") else path.open("rb") as file:
        assert [json.loads(line) for line in file] == rows


@settings(max_examples=50, deadline=None)
@given(records=RECORDS)
def test_a_csv_holds_every_value_as_its_cell(tmp_path_factory, records):
    path, rows = tmp_path_factory.mktemp("out") / "rows.csv", rows_of(records)

    names = write(path, rows)

    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [{name: "" if (c := cell(row.get(name))) is None else str(c) for name in names} for row in rows]


@settings(max_examples=150, deadline=None)
@given(records=RECORDS)
def test_parquet_holds_the_rows_and_loses_no_digit(tmp_path_factory, records):
    path, rows = tmp_path_factory.mktemp("out") / "rows.parquet", rows_of(records)

    write(path, rows)

    found = [stripped(row) for row in read_parquet(path)]
    for row in found:
        assert str(row["llm_cost_usd"]).rstrip("0") == OURS["llm_cost_usd"]
    assert [row | {"llm_cost_usd": OURS["llm_cost_usd"]} for row in found] == [stripped(row) for row in rows]


@settings(max_examples=50, deadline=None)
@given(records=RECORDS, seed=st.integers(0, 100))
def test_types_do_not_depend_on_the_order_of_the_rows(tmp_path_factory, records, seed):
    folder = tmp_path_factory.mktemp("out")
    rows = rows_of(records)
    write(folder / "a.parquet", rows)
    random.Random(seed).shuffle(rows)

    write(folder / "b.parquet", rows)

    assert parquet.read_schema(folder / "a.parquet").equals(parquet.read_schema(folder / "b.parquet"), True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([None, None], "string", id="nothing-but-null"),
        pytest.param([True, None], "bool", id="truths"),
        pytest.param([1, 2**62], "int64", id="integers"),
        pytest.param([1, 0.5], "double", id="integers-and-numbers"),
        pytest.param([2**62, 0.5], "string", id="a-float-cannot-hold-this-integer"),
        pytest.param([2**64 - 1], "string", id="more-than-64-bits"),
        pytest.param(["1", 1], "string", id="texts-and-integers"),
        pytest.param([[1], [], [None]], "list<element: int64>", id="lists"),
        pytest.param([{"a": 1}, {"b": "x"}], "struct<a: int64, b: string>", id="objects"),
        pytest.param([{}], "string", id="an-object-without-fields"),
        pytest.param([{str(n): n} for n in range(201)], "string", id="a-map"),
    ],
)
def test_the_type_of_a_column(tmp_path, values, expected):
    write(tmp_path / "rows.parquet", rows_of([{"x": value} for value in values]))

    assert str(parquet.read_schema(tmp_path / "rows.parquet").field("x").type) == expected


def test_our_columns_have_the_same_types_in_every_file_an_empty_one_included(tmp_path):
    write(tmp_path / "none.parquet", [])
    write(tmp_path / "some.parquet", rows_of([{}, {}]))

    schemas = [parquet.read_schema(tmp_path / name) for name in ("none.parquet", "some.parquet")]

    assert schemas[0] == schemas[1]
    types = {name: str(schemas[0].field(name).type) for name in COLUMNS}
    assert {name: kind for name, kind in types.items() if kind != "string"} == {
        "llm_index": "int64",
        "llm_round": "int32",
        "llm_input_tokens": "int64",
        "llm_cached_input_tokens": "int64",
        "llm_output_tokens": "int64",
        "llm_cost_usd": "decimal128(38, 18)",
    }


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_the_same_rows_are_the_same_bytes(tmp_path, suffix):
    rows = rows_of([{"text": f"größer {n}", "n": n, "tags": ["a"] * n} for n in range(50)])

    write(tmp_path / f"a.{suffix}", rows)
    write(tmp_path / f"b.{suffix}", rows)

    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


# -- answers ----------------------------------------------------------------------------------------------------------


class Aspect(BaseModel):
    name: str
    weight: float | None = None


ASPECT = "struct<name: string, weight: double>"


class Review(BaseModel):
    label: Literal["good", "bad"]
    stars: int
    aspects: list[Aspect]
    notes: dict[str, int] = {}


class Node(BaseModel):
    name: str
    children: list[Node] = []


@pytest.mark.parametrize(
    ("output_type", "expected"),
    [
        (
            Review,
            f"struct<aspects: list<element: {ASPECT}>, label: string, notes: string, stars: int64>",
        ),
        (Node, "struct<children: list<element: string>, name: string>"),
        (list[str], "list<element: string>"),
        (Literal["a", "b"], "string"),
        (Literal[1, 2], "int64"),
        (bool | None, "bool"),
        (int | str, "string"),
        (tuple[int, float], "list<element: string>"),
        ({"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}, "struct<n: int64>"),
        ({"allOf": [{"type": "number"}]}, "double"),
        ({"const": "x"}, "string"),
        ({"items": {"type": "string"}}, "string"),
        ({}, "string"),
    ],
    ids=str,
)
def test_an_output_type_gives_its_type_whatever_the_answers_are(tmp_path, output_type, expected):
    kind = promised(Question(model="m", output=output_schema(output_type)))
    rows = rows_of([{}])
    rows[0].update(llm_status="invalid", llm_output=None)

    write(tmp_path / "rows.parquet", rows, kind)

    assert str(parquet.read_schema(tmp_path / "rows.parquet").field("llm_output").type) == expected


def test_a_schema_whose_parts_refer_to_each_other_is_read_to_an_end():
    names = [f"T{n}" for n in range(12)]
    fields = {name: {"$ref": f"#/$defs/{name}"} for name in names[:3]}
    schema = {"$ref": "#/$defs/T0", "$defs": {name: {"type": "object", "properties": fields} for name in names}}

    assert kind_of_schema(schema) != "json"


def test_typed_answers_are_read_back_and_the_text_of_one_that_is_not_good_is_left_out(tmp_path):
    good = {"label": "good", "stars": 5, "aspects": [{"name": "x", "weight": 1}], "notes": {"any": 1}}
    rows = rows_of([{}, {}], [good, "I would rather not."])
    rows[1]["llm_status"] = "invalid"

    write(tmp_path / "rows.parquet", rows, kind_of_schema(output_schema(Review).schema))

    assert [row["llm_output"] for row in read_parquet(tmp_path / "rows.parquet")] == [good, None]


def test_an_answer_that_its_schema_does_not_describe_is_kept_as_json_text(tmp_path):
    """A type may have a serializer of its own."""
    rows = rows_of([{}, {}], [{"label": "good", "more": 1}, {"label": "bad"}])

    write(tmp_path / "rows.parquet", rows, kind_of_schema({"properties": {"label": {"type": "string"}}}))

    assert [row["llm_output"] for row in read_parquet(tmp_path / "rows.parquet")] == [
        {"label": "good", "more": 1},
        {"label": "bad"},
    ]


def test_tool_calls_have_one_type_whatever_their_arguments_are(tmp_path):
    calls = [{"id": "1", "name": "f", "arguments": {"x": 1}}, {"id": None, "name": "g", "arguments": "no json"}]
    outputs = [{"text": None, "tool_calls": calls}, {"text": "no call", "tool_calls": []}]

    write(tmp_path / "rows.parquet", rows_of([{}, {}], outputs), promised(Question(model="m", tools=[Tool(name="f")])))

    assert str(parquet.read_schema(tmp_path / "rows.parquet").field("llm_output").type) == (
        "struct<text: string, tool_calls: list<element: struct<arguments: string, id: string, name: string>>>"
    )
    assert [row["llm_output"] for row in read_parquet(tmp_path / "rows.parquet")] == outputs


def test_vectors_are_lists_of_floats(tmp_path):
    vectors = [[0.1, -2.5e-8, 3.0], [0.0023064255, 1.0, -0.5]]
    rows = rows_of([{}, {}, {}], [*vectors, None])
    rows[2]["llm_status"] = "errored"

    write(tmp_path / "rows.parquet", rows)

    assert str(parquet.read_schema(tmp_path / "rows.parquet").field("llm_output").type) == "list<element: double>"
    assert [row["llm_output"] for row in read_parquet(tmp_path / "rows.parquet")] == [*vectors, None]


# -- size -------------------------------------------------------------------------------------------------------------


def test_long_rows_come_in_smaller_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "GROUP_BYTES", 10_000)

    write(tmp_path / "rows.parquet", rows_of([{"text": "x" * 4_000}] * 7))

    groups = parquet.ParquetFile(tmp_path / "rows.parquet").metadata
    assert [groups.row_group(at).num_rows for at in range(groups.num_row_groups)] == [3, 3, 1]


def test_parquet_without_pyarrow_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    find = "airflow_provider_llmbatch.storage.tables.parquet.find_spec"
    monkeypatch.setattr(find, lambda name: None)

    with pytest.raises(OutputError, match=r"needs pyarrow\. Nothing was sent"):
        check_output(str(tmp_path / "rows.parquet"))
