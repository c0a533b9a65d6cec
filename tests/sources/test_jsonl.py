"""Records in JSON lines, plain and compressed."""

import gzip

import pytest

from airflow_provider_llmbatch.exceptions import SourceError

TWO = [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b'{"a":1}\n{"a":2}\n', TWO, id="plain"),
        pytest.param(b'{"a":1}\n{"a":2}', TWO, id="no-newline-at-the-end"),
        pytest.param(b'{"a":1}\r\n{"a":2}\r\n', TWO, id="windows"),
        pytest.param(b'\xef\xbb\xbf{"a":1}\n{"a":2}\n', TWO, id="byte-order-mark"),
        pytest.param(b'\n\n{"a":1}\n \n', [(3, {"a": 1})], id="blank-lines-count"),
        pytest.param('{"a":"x\u2028y"}\n'.encode(), [(1, {"a": "x\u2028y"})], id="raw-u2028"),
        pytest.param('{"größe":"東京"}\n'.encode(), [(1, {"größe": "東京"})], id="any-script"),
        pytest.param(b"{}\n", [(1, {})], id="a-record-without-columns"),
        pytest.param(b"", [], id="empty-file"),
        pytest.param(b"\n\n", [], id="only-blank-lines"),
    ],
)
def test_rows(read, data, rows):
    assert read(data) == rows
    assert read(data, "rows.ndjson") == rows
    assert read(gzip.compress(data), "rows.jsonl.gz") == rows


def test_the_suffix_may_be_written_in_capitals(read):
    assert read(b'{"a":1}\n{"a":2}\n', "ROWS.JSONL") == TWO


def test_several_compressed_parts_in_one_file_are_one_stream(read):
    assert read(gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n'), "rows.jsonl.gz") == TWO


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        pytest.param(b'{"a":1}\n\n\n{"a":\n', 4, " is not JSON: Input data was truncated", id="cut-after-blank-lines"),
        pytest.param(b"{'a': 1}\n", 1, r" is not JSON: .*\(byte 1\)", id="python-instead-of-json"),
        pytest.param(b'{"a":1}\nnull\n', 2, " is not JSON: null is not a record", id="null"),
        pytest.param(b"[1]\n", 1, ": a record is a JSON object; this line is a list", id="list"),
        pytest.param(b'\n"text"\n', 2, ": a record is a JSON object; this line is a str", id="text"),
        pytest.param(b'[\n{"a":1}\n]\n', 1, " is not JSON", id="one-json-document-over-many-lines"),
        pytest.param(b'{"a":1}\n{"a":"caf\xe9"}\n', 2, " is not JSON: .*'utf-8' codec can't decode", id="latin-1"),
        pytest.param(b'{"a":NaN}\n', 1, " is not JSON", id="not-a-number"),
        pytest.param('{"a":1}\n'.encode("utf-16"), 1, " is not JSON", id="utf-16"),
    ],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_line_that_is_not_a_record_is_named(read, name, data, line, message):
    written = gzip.compress(data) if name.endswith(".gz") else data

    with pytest.raises(SourceError, match=rf"/{name}, line {line}{message}.*Nothing was sent") as caught:
        read(written, name)

    assert caught.value.context["line"] == line


def test_the_text_of_a_bad_line_is_not_repeated(read):
    with pytest.raises(SourceError) as caught:
        read(b'{"a": "SECRET" "b": SECRET}\n')

    assert "SECRET" not in f"{caught.value!r} {caught.value.context}"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b'{"a":1}\n' * 1000)[:-20], b'{"a":1}\n', gzip.compress(b'{"a":1}\n')[:10] + b"\xff" * 30],
    ids=["cut", "not-compressed", "damaged"],
)
def test_a_compressed_file_that_is_not_whole_is_refused(read, data):
    with pytest.raises(SourceError, match=r"rows.jsonl.gz' is not whole: .*Nothing was sent"):
        read(data, "rows.jsonl.gz")
