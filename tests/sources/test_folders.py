"""Several files as one source: a folder, or what a pattern matches."""

import gzip
from urllib.request import Request, urlopen

import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.records import number
from airflow_provider_llmbatch.exceptions import InputError, SourceError
from airflow_provider_llmbatch.sources import blocks_of, open_source
from tests.storage.conftest import base_uri, store  # noqa: F401 - the fixtures


@pytest.fixture
def put(base_uri):  # noqa: F811
    """Write files under an empty place, and return its address."""

    def write(files: dict[str, bytes]) -> str:
        path = ObjectStoragePath(base_uri)
        path.fs.makedirs(path.path, exist_ok=True)
        for name, data in files.items():
            target = f"{path.path}/{name}"
            path.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            path.fs.pipe_file(target, data)
        return base_uri

    return write


def rows(uri):
    return [(where, dict(row)) for where, row in open_source(uri).rows()]


LINE = b'{"n": %d}\n'


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(put):
    base = put({"b.jsonl": LINE % 2, "a.jsonl": LINE % 0 + LINE % 1, "c.ndjson": LINE % 3})

    expected = [
        (f"{base}/a.jsonl, line 1", {"n": 0}),
        (f"{base}/a.jsonl, line 2", {"n": 1}),
        (f"{base}/b.jsonl, line 1", {"n": 2}),
        (f"{base}/c.ndjson, line 1", {"n": 3}),
    ]
    assert rows(base) == rows(base + "/") == expected


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", [0, 1]),
        ("b*.jsonl", [1]),
        ("[a]?.jsonl", [0]),
        ("**/*.jsonl", [0, 1, 2]),
        ("deep*/*.jsonl", [2]),
        ("*/c.jsonl", [2]),
    ],
)
def test_a_pattern_names_its_files(put, pattern, found):
    base = put({"a1.jsonl": LINE % 0, "b1.jsonl": LINE % 1, "deep.er/c.jsonl": LINE % 2, "other.csv": b"a\n1\n"})

    assert [row["n"] for _, row in rows(f"{base}/{pattern}")] == found


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(put):
    base = put({"rows[1].jsonl": LINE % 0, "rows1.jsonl": LINE % 1})

    assert rows(f"{base}/rows[1].jsonl") == [(f"{base}/rows[1].jsonl, line 1", {"n": 0})]


def test_marks_that_other_tools_leave_are_no_data(put):
    base = put({"part-0.csv": b"a\n1\n", "_SUCCESS": b"", ".part-0.csv.crc": b"x", "_temporary.jsonl": b"{}\n"})

    assert rows(base) == [(f"{base}/part-0.csv, line 2", {"a": "1"})]


def test_compressed_files_are_a_kind(put):
    base = put({"a.jsonl.gz": gzip.compress(LINE % 0), "b.jsonl.gz": gzip.compress(LINE % 1)})

    assert [row["n"] for _, row in rows(base)] == [0, 1]


def test_files_without_a_row_are_passed_over(put):
    base = put({"a.csv": b"", "b.csv": b"a\n", "c.csv": b"\xef\xbb\xbfa\n1\n"})

    assert [row for _, row in rows(base)] == [{"a": "1"}]


@pytest.mark.parametrize("step", ["identity", "rows"])
@pytest.mark.parametrize(
    ("files", "pattern", "message"),
    [
        pytest.param({}, "", "is a folder without a file", id="an-empty-folder"),
        pytest.param({"_SUCCESS": b""}, "", "is a folder without a file", id="only-marks"),
        pytest.param({"a.csv": b""}, "/*.jsonl", "matches no file", id="no-match"),
        pytest.param(
            {"a.csv": b"", "b.jsonl": b""},
            "",
            "holds files of several kinds, such as 'a.csv' and 'b.jsonl'",
            id="two-kinds",
        ),
        pytest.param(
            {"a.jsonl": b"", "a.jsonl.gz": b""}, "", "holds files of several kinds", id="a-file-and-its-compressed-twin"
        ),
        pytest.param({"a.csv": b"", "b.txt": b""}, "", "holds 'b.txt': its suffix must be one of", id="another-kind"),
        pytest.param(
            {"a.csv": b"", "in/b.csv": b""}, "", "holds the folder 'in', which is not searched", id="a-folder"
        ),
        pytest.param({"a/b.csv": b""}, "/*", "holds the folder 'a'", id="a-pattern-that-matches-a-folder"),
    ],
)
def test_what_is_not_a_set_of_files_of_one_kind_is_refused(put, step, files, pattern, message):
    source = open_source(put(files) + pattern)

    with pytest.raises(SourceError, match=f"source '.*' {message}.*Nothing was sent"):
        list(getattr(source, step)())


def test_a_bad_line_in_the_third_file_is_named_with_its_file(put):
    base = put({"1.jsonl": LINE % 1, "2.jsonl": LINE % 2, "3.jsonl": LINE % 3 + b"{oops\n"})

    with pytest.raises(SourceError, match=r"/3\.jsonl, line 2 is not JSON.*Nothing was sent"):
        rows(base)


def test_a_file_without_the_key_column_is_named(put):
    base = put({"1.csv": b"id,text\na,x\n", "2.csv": b"text\ny\n"})

    with pytest.raises(InputError, match=r"/2\.csv, line 2: the key column 'id' is missing.*Nothing was sent"):
        list(number(blocks_of(open_source(base)), key="id"))


def test_every_file_is_part_of_the_identity(put):
    base = put({"a.csv": b"a\n1\n", "b.csv": b"a\n2\n"})
    first = open_source(base).identity()
    put({"b.csv": b"a\n23\n"})
    changed = open_source(base).identity()
    put({"c.csv": b"a\n3\n"})
    added = open_source(base).identity()

    assert [(file["uri"], file["size"]) for file in first["files"]] == [(f"{base}/a.csv", 4), (f"{base}/b.csv", 4)]
    assert [file["size"] for file in changed["files"]] == [4, 5]
    assert [file["uri"] for file in added["files"]] == [f"{base}/{name}.csv" for name in "abc"]
    assert open_source(base).identity() == added
    assert first["kind"] == "files"
    assert first["uri"] == base


def test_a_folder_on_s3_is_listed_with_its_etags(s3, lake):
    for name in ("b", "a", "deep/c"):
        lake(f"in/{name}.jsonl", b'{"name": "%s"}\n' % name.encode())
    lake("one/x.jsonl", b"{}\n")
    lake("one/", b"")  # the mark that some tools leave for a folder

    source = open_source("s3://aws_default@lake/in/**/*.jsonl")

    assert [row["name"] for _, row in source.rows()] == ["a", "b", "deep/c"]
    assert [where for where, _ in source.rows()][2] == "s3://aws_default@lake/in/deep/c.jsonl, line 1"
    assert len({file["changed"] for file in source.identity()["files"]}) == 3
    assert [row for _, row in rows("s3://aws_default@lake/one")] == [{}]
    assert [file["uri"] for file in open_source("s3://aws_default@lake/one/").identity()["files"]] == [
        "s3://aws_default@lake/one/x.jsonl"
    ]
    with pytest.raises(SourceError, match=r"holds the folder 'deep'"):
        rows("s3://aws_default@lake/in")


def test_a_file_that_appears_on_s3_changes_the_identity(s3, lake):
    lake("in/a.csv", b"a\n1\n")
    before = open_source("s3://aws_default@lake/in").identity()
    request = Request(f"{s3.url}/lake/in/b.csv", b"a\n2\n", method="PUT", headers={"Content-Type": "text/csv"})
    urlopen(request).close()  # as another process would: this one's listings are not told

    assert [file["size"] for file in open_source("s3://aws_default@lake/in").identity()["files"]] == [4, 4]
    assert len(before["files"]) == 1
