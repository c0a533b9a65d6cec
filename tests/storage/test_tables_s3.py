"""Files and folders of parts in a bucket: they appear when they are whole, by requests that S3 really has."""

from __future__ import annotations

import json

import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.storage.tables import columns, parts
from tests.s3 import BUCKET
from tests.storage.test_tables_parts import manifest, rows, write

ROOT = f"s3://outputs@{BUCKET}"
"""A connection of its own, as a lake may have beside the jobs' folders."""


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An empty bucket, and the connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_OUTPUTS", s3_server.connection)
    s3_server.control("reset")
    monkeypatch.setattr(columns, "PART_ROWS", 10)
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    return s3_server


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_file_is_one_put(s3, suffix):
    write(f"{ROOT}/labels.{suffix}", 25)

    assert [entry["path"] for entry in s3.log("PUT")] == [f"/{BUCKET}/labels.{suffix}"]


def test_the_manifest_goes_first_and_comes_last(s3):
    uri = f"{ROOT}/labels.parquet/"
    write(uri, 35)
    before = len(s3.log())

    write(uri, 25, first=100)

    changes = [
        (entry["method"], entry["path"].rpartition("/")[2])
        for entry in s3.log()[before:]
        if entry["method"] in ("PUT", "DELETE", "POST")
    ]
    assert [name for _, name in changes] == [
        "_manifest.json",
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
        "part-00003.parquet",
        "_manifest.json",
    ]
    assert (changes[0][0], changes[-2][0], changes[-1][0]) == ("DELETE", "DELETE", "PUT")
    assert manifest(uri)["rows"] == 25
    assert rows(uri) == list(range(100, 125))


def test_a_write_that_breaks_off_leaves_the_old_folder_or_none(s3):
    uri = f"{ROOT}/labels/"
    write(uri, 25)
    before = manifest(uri)

    with pytest.raises(KeyboardInterrupt):
        write(uri, 25, first=100, break_off_at=5)
    assert manifest(uri) == before
    with pytest.raises(KeyboardInterrupt):
        write(uri, 25, first=100, break_off_at=15)
    assert manifest(uri) is None

    path = ObjectStoragePath(f"{ROOT}/labels/part-00001.jsonl")
    assert json.loads(path.fs.cat_file(path.path).splitlines()[0])["n"] == 10
