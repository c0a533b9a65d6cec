"""What may be a source, and what makes it the same source again."""

import os
from types import MappingProxyType

import pytest

from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources import open_source
from airflow_provider_llmbatch.sources.inline import InlineSource


def rows(value):
    return list(open_source(value).rows())


# -- inline --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(["a", "b"], [{"prompt": "a"}, {"prompt": "b"}], id="texts"),
        pytest.param([{"text": "a"}], [{"text": "a"}], id="mappings"),
        pytest.param(("a", {"text": "b"}), [{"prompt": "a"}, {"text": "b"}], id="mixed-tuple"),
        pytest.param([MappingProxyType({"text": "a"})], [{"text": "a"}], id="any-mapping"),
        pytest.param([], [], id="none"),
        pytest.param([""], [{"prompt": ""}], id="an-empty-text-is-a-record"),
    ],
)
def test_inline_rows(items, expected):
    found = rows(items)

    assert [dict(row) for _, row in found] == expected
    assert [where for where, _ in found] == [f"source[{index}]" for index in range(len(expected))]


@pytest.mark.parametrize("item", [5, None, ["a"], b"a"], ids=["number", "null", "list", "bytes"])
def test_an_item_that_is_no_record_is_named_by_its_place(item):
    with pytest.raises(SourceError, match=rf"source\[1\] is a {type(item).__name__}; a record is.*Nothing was sent"):
        rows(["fine", item])


def test_inline_records_are_known_by_their_content():
    def identity(*items):
        return open_source(list(items)).identity()

    assert identity({"a": 1, "b": 2}, "x") == identity({"b": 2, "a": 1}, "x")
    assert open_source(("x",)).identity() == identity("x")
    assert len({identity(*items)["sha256"] for items in [(), ("x",), ("x", "x"), ({"prompt": "x"},), ("y",)]}) == 5


def test_the_identity_of_inline_records_holds_none_of_their_text():
    assert "SECRET" not in str(open_source(["SECRET"]).identity())


@pytest.mark.parametrize(
    ("item", "message"),
    [({"a": object()}, "type object"), ({"a": "\ud800"}, "text that is not Unicode"), ({"a": {1: 2, "b": 3}}, "")],
    ids=["an-object", "half-a-character", "keys-of-several-types"],
)
def test_inline_records_that_are_not_json_are_refused(item, message):
    with pytest.raises(SourceError, match=f"its records must be JSON.*{message}.*Nothing was sent"):
        open_source([item]).identity()


def test_inline_records_show_only_how_many_they_are():
    """Airflow writes a template field's text to its rendered view; the records do not belong there."""
    source = open_source(["SECRET"] * 1234)

    assert str(source) == repr(source) == f"{source}" == "<1,234 inline records>"


# -- what may be a source -----------------------------------------------------------------------------------------


def test_a_source_stays_as_it_is():
    source = InlineSource(["a"])

    assert open_source(source) is source


@pytest.mark.parametrize("value", [5, None, {"a": 1}, {"a"}, iter(["a"])])
def test_anything_else_is_refused_with_what_it_may_be(value):
    with pytest.raises(SourceError, match=rf"source is a {type(value).__name__}; it must be.*Nothing was sent"):
        open_source(value)


@pytest.mark.parametrize("name", ["rows", "rows.txt", "rows.csv.gz", "rows.parquet.bak"])
def test_a_file_of_another_kind_is_refused_by_its_suffix(source, name):
    with pytest.raises(SourceError, match=r"its suffix must be one of \.jsonl, .*\.parquet.*Nothing was sent"):
        source(b"a\n1\n", name).identity()


def test_an_empty_text_is_no_source():
    """It would name the folder that the worker happens to run in."""
    with pytest.raises(SourceError, match=r"source is an empty text.*Nothing was sent"):
        open_source(" ")


# -- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["identity", "rows"])
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("{folder}/nowhere.csv", "nowhere.csv' is not there"),
        ("{folder}/nowhere/at/all.csv", "all.csv' is not there"),
        ("{folder}/file.csv/inside.csv", "inside.csv' is not there"),
        ("file://{folder}/nowhere.jsonl", "nowhere.jsonl' is not there"),
        ("{folder}/folder.csv", "folder.csv' is a folder without a file"),
        ("{folder}/*.jsonl", "jsonl' matches no file"),
        ("s4://bucket/rows.csv", "'s4://bucket/rows.csv' cannot be opened: .*s4"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_before_anything_is_sent(tmp_path, step, uri, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.csv").touch()
    source = open_source(uri.format(folder=tmp_path))

    with pytest.raises(SourceError, match=f"{message}.*Nothing was sent"):
        list(getattr(source, step)())


def test_a_file_is_known_by_its_address_size_and_time_of_change(tmp_path, source):
    first = source(b"a\n1\n", "rows.csv").identity()
    os.utime(tmp_path / "rows.csv", (1, 1))
    touched = open_source(str(tmp_path / "rows.csv")).identity()

    assert first == {"kind": "file", "uri": f"{tmp_path}/rows.csv", "size": 4, "changed": first["changed"]}
    assert touched["changed"] != first["changed"]
    assert open_source(str(tmp_path / "rows.csv")).identity() == touched


def test_a_source_shows_its_address():
    assert repr(open_source("s3://lake/rows.csv")) == "FileSource('s3://lake/rows.csv')"
