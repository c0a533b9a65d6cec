"""A folder of parts is complete when its manifest is there, and never before; on a disk and on an object store."""

from __future__ import annotations

import json

import pytest
from pyarrow import dataset
from pyarrow.fs import FSSpecHandler, PyFileSystem

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.core.outputs import header
from airflow_provider_llmbatch.exceptions import OutputError
from airflow_provider_llmbatch.storage.folder import open_folder
from airflow_provider_llmbatch.storage.tables import check_output, columns, parts, writing
from airflow_provider_llmbatch.storage.tables.columns import Columns
from tests.storage.test_tables import halves, rows_of

JOB = "0123456789"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(columns, "PART_ROWS", 10)
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    monkeypatch.setattr(columns, "GROUP_ROWS", 4)


def write(uri, count, *, first=0, break_off_at=None):
    with writing(uri, Columns(header(["n"])), JOB) as put:
        rows = rows_of([{"n": n} for n in range(first, first + count)])[:break_off_at]
        for some in (rows[:1], rows[1:]):
            put(*halves(*some))
        if break_off_at is not None:
            raise KeyboardInterrupt


def manifest(uri):
    document = open_folder(uri.rstrip("/")).read("_manifest.json")
    return None if document is None else json.loads(document)


def rows(uri):
    """Read a folder as pyarrow does, which leaves out what starts with an underscore."""
    path = ObjectStoragePath(uri.rstrip("/"))
    fs = PyFileSystem(FSSpecHandler(path.fs))
    return dataset.dataset(path.path, filesystem=fs, format="parquet").to_table().column("n").to_pylist()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_rows_are_cut_into_parts_and_the_manifest_names_them(base_uri, suffix):
    uri = f"{base_uri}/labels.{suffix}/"
    check_output(uri)

    write(uri, 25)

    names = [f"part-{number:05}.{suffix}" for number in range(3)]
    assert sorted(open_folder(uri.rstrip("/")).names("")) == ["_manifest.json", *names]
    assert manifest(uri) == {
        "schema": 1,
        "job": JOB,
        "rows": 25,
        "parts": [{"name": name, "rows": count} for name, count in zip(names, (10, 10, 5), strict=True)],
    }
    if suffix == "parquet":
        assert rows(uri) == list(range(25))
    if suffix == "jsonl":
        files = open_folder(uri.rstrip("/"))
        lines = [line for name in names for line in files.read(name).splitlines()]
        assert [json.loads(line)["n"] for line in lines] == list(range(25))


@pytest.mark.parametrize("count", [0, 10, 20])
def test_a_folder_has_at_least_one_part_and_no_empty_one_beside_others(base_uri, count):
    uri = f"{base_uri}/labels.parquet/"

    write(uri, count)

    assert [part["rows"] for part in manifest(uri)["parts"]] == ([10] * (count // 10) or [0])
    assert rows(uri) == list(range(count))


def test_writing_again_replaces_all_parts_and_leaves_other_files_alone(base_uri):
    uri = f"{base_uri}/labels.parquet/"
    write(uri, 35)
    others = ["part-00000-of-spark.parquet", "notes.txt"]
    for name in others:
        open_folder(uri.rstrip("/")).replace(name, b"")

    write(uri, 15, first=100)

    assert [name for name in open_folder(uri.rstrip("/")).names("") if name not in others] == [
        "_manifest.json",
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert set(others) <= set(open_folder(uri.rstrip("/")).names(""))
    assert manifest(uri)["rows"] == 15


def test_the_same_rows_give_the_same_bytes(base_uri):
    uri = f"{base_uri}/labels.parquet/"

    def everything():
        files = open_folder(uri.rstrip("/"))
        return {name: files.read(name) for name in files.names("")}

    write(uri, 25)
    before = everything()
    write(uri, 25)

    assert everything() == before


@pytest.mark.parametrize("break_off_at", [0, 3, 9, 10, 11, 20, 24])
def test_a_folder_that_was_not_finished_is_as_it_was_or_not_complete(base_uri, break_off_at):
    uri = f"{base_uri}/labels/"
    write(uri, 25)
    before = manifest(uri)

    with pytest.raises(KeyboardInterrupt):
        write(uri, 25, first=100, break_off_at=break_off_at)

    files = open_folder(uri.rstrip("/"))
    old = all(json.loads(files.read(part["name"]).splitlines()[0])["n"] < 100 for part in before["parts"])
    assert manifest(uri) == (before if old else None)
    write(uri, 25, first=100)
    assert manifest(uri) == before


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=r"cannot be written .*Nothing was sent"):
        check_output(f"{tmp_path}/file/labels/")
