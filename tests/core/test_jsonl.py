"""Lines of JSON, split at a line feed and nowhere else."""

import io

import jsonlines
import pytest

from airflow_provider_llmbatch.core import jsonl


def read(data):
    return list(jsonl.read(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b'{"a":1}\n{"a":2}\n', [(1, {"a": 1}), (2, {"a": 2})], id="two-lines"),
        pytest.param(b'{"a":1}', [(1, {"a": 1})], id="no-newline-at-the-end"),
        pytest.param(b'\n  \n\r\n{"a":1}\n\n', [(4, {"a": 1})], id="empty-lines-count-and-are-skipped"),
        pytest.param(b'{"a":1}\r\n{"a":2}\r\n', [(1, {"a": 1}), (2, {"a": 2})], id="windows"),
        pytest.param(b'\xef\xbb\xbf{"a":1}\n', [(1, {"a": 1})], id="byte-order-mark"),
        pytest.param('{"a":"x\u2028y\u0085z"}\n'.encode(), [(1, {"a": "x\u2028y\u0085z"})], id="raw-u2028-is-data"),
        pytest.param(b"[1]\n2\n", [(1, [1]), (2, 2)], id="any-value"),
        pytest.param(
            b"123456789012345678901234567890\n", [(1, 123456789012345678901234567890)], id="integers-of-any-size"
        ),
    ],
)
def test_read(data, expected):
    assert read(data) == expected


@pytest.mark.parametrize(
    ("data", "line"),
    [(b'{"a":1}\n\n{"a":\n', 3), (b"\n\nnull\n", 3), (b'{"a":"\xe9"}\n', 1), (b"{}\n{} {}\n", 2), (b"NaN\n", 1)],
    ids=["cut", "null", "not-utf-8", "two-values", "not-a-number"],
)
def test_a_line_that_is_not_json_is_named_by_its_number(data, line):
    with pytest.raises(jsonlines.InvalidLineError) as caught:
        read(data)

    assert caught.value.lineno == line


def test_what_comes_before_a_bad_line_was_already_yielded():
    lines = jsonl.read(io.BytesIO(b"{}\nbroken\n"))

    assert next(lines) == (1, {})
