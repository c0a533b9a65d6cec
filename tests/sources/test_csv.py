"""Records in CSV: every value is text, every row has the header's columns."""

import pytest

from airflow_provider_llmbatch.exceptions import SourceError


@pytest.fixture
def read_csv(read):
    return lambda data: read(data, "rows.csv")


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"a,b\n1,2\n3,4\n", [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})], id="plain"),
        pytest.param(b"a,b\r\n1,2\r\n", [(2, {"a": "1", "b": "2"})], id="windows"),
        pytest.param(b"a,b\r1,2\r", [(2, {"a": "1", "b": "2"})], id="old-mac"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", [(2, {"a": "1", "b": "2"})], id="byte-order-mark"),
        pytest.param(b'a,b\n"x, ""y""",2', [(2, {"a": 'x, "y"', "b": "2"})], id="quotes-and-commas"),
        pytest.param(
            b'a,b\n"one\n\ntwo",2\n3,4\n',
            [(4, {"a": "one\n\ntwo", "b": "2"}), (5, {"a": "3", "b": "4"})],
            id="quoted-newlines-count-as-lines",
        ),
        pytest.param(b'a\n"x\r\ny"\n', [(3, {"a": "x\r\ny"})], id="quoted-windows-newline-is-data"),
        pytest.param(b"a,b\n\n1,2\n\n", [(3, {"a": "1", "b": "2"})], id="blank-lines-are-skipped"),
        pytest.param(b"a,b\n,\n", [(2, {"a": "", "b": ""})], id="empty-values-are-empty-text"),
        pytest.param("größe\n東京\n".encode(), [(2, {"größe": "東京"})], id="any-script"),
        pytest.param("a\nx\u2028y\u0085z\n".encode(), [(2, {"a": "x\u2028y\u0085z"})], id="raw-u2028-is-data"),
        pytest.param(b"a,b\n", [], id="only-a-header"),
        pytest.param(b"", [], id="empty-file"),
    ],
)
def test_rows(read_csv, data, rows):
    assert read_csv(data) == rows


def test_a_very_long_value_is_read(read_csv):
    """Python's own limit is 131,072 characters; a report is longer."""
    text = "x" * 300_000

    assert read_csv(f"a\n{text}\n".encode()) == [(2, {"a": text})]


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        pytest.param(b"a,b\n1,2\n3\n", 3, "does not have the header's 2 columns", id="short-row"),
        pytest.param(b"a,b\n1,2,3\n", 2, "does not have the header's 2 columns", id="long-row"),
        pytest.param(b'a,b\n"1\n2",3\n4\n', 4, "does not have the header's 2 columns", id="short-row-after-a-newline"),
        pytest.param(b"a,b,a\n1,2,3\n", 1, "names 'a' more than once", id="a-name-twice"),
        pytest.param(b"a,,\n1,2,3\n", 1, "names '' more than once", id="two-columns-without-a-name"),
        pytest.param(b'a,b\n1,2\n"3,4\n5,6\n', 3, "is not CSV: unexpected end of data", id="a-quote-never-closed"),
        pytest.param(b'a,b\n"1"x,2\n', 2, "is not CSV: ',' expected after", id="text-after-a-quote"),
        pytest.param(b"a,b\n1,2\ncaf\xe9,4\n", 3, "is not UTF-8; save the file as UTF-8", id="latin-1"),
        pytest.param(b"caf\xe9,b\n1,2\n", 1, "is not UTF-8", id="latin-1-in-the-header"),
        pytest.param(b"a\n" + b"x\n" * 50_000 + b"\xe9\n", 50_002, "is not UTF-8", id="latin-1-far-down"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), 1, "is not UTF-8", id="utf-16"),
    ],
)
def test_a_row_that_does_not_fit_is_named(read_csv, data, line, message):
    with pytest.raises(SourceError, match=rf"/rows.csv, line {line} {message}.*Nothing was sent") as caught:
        read_csv(data)

    assert caught.value.context["line"] == line


def test_the_text_of_a_bad_row_is_not_repeated(read_csv):
    for data in [b"a,b\nSECRET\n", b'a,b\n"SECRET"SECRET,2\n', b"a\nSECRET \xe9\n"]:
        with pytest.raises(SourceError) as caught:
            read_csv(data)

        assert "SECRET" not in f"{caught.value!r} {caught.value.context}"
        assert caught.value.__context__ is None or caught.value.__suppress_context__
