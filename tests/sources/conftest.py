"""A file with given bytes, and its rows."""

from __future__ import annotations

import pytest

from airflow_provider_llmbatch._compat import ObjectStoragePath
from airflow_provider_llmbatch.sources import open_source
from tests.s3 import ROOT


@pytest.fixture
def source(tmp_path):
    """Write *data* to a file of the given name and open it as a source."""

    def make(data: bytes, name: str = "rows.jsonl"):
        path = tmp_path / name
        path.write_bytes(data)
        return open_source(str(path))

    return make


@pytest.fixture
def read(source):
    """Return what a file holds: pairs of the line's number and the row."""

    def rows(data: bytes, name: str = "rows.jsonl"):
        return [(int(where.rpartition(" ")[2]), dict(row)) for where, row in source(data, name).rows()]

    return rows


@pytest.fixture
def lake(s3):
    """Write an object into the bucket."""

    def put(name: str, data: bytes) -> None:
        path = ObjectStoragePath(f"{ROOT}/{name}")
        path.fs.pipe_file(f"lake/{name}", data)

    return put
