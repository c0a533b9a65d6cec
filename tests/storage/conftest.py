"""Two kinds of storage: a disk, and an object store that lives in memory."""

from __future__ import annotations

import pytest
from fsspec.implementations.memory import MemoryFileSystem

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach


class Store(MemoryFileSystem):
    """An object store with conditional writes, as S3, GCS and Azure have them."""

    protocol = "memory"
    store = {}  # noqa: RUF012 - one store for all instances, as fsspec wants it
    pseudo_dirs = [""]  # noqa: RUF012


@pytest.fixture
def store():
    """An empty object store, served to Airflow under ``memory://``."""
    fs = Store()
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    attach("memory", fs=fs)
    return fs


@pytest.fixture(params=["disk", "store"])
def base_uri(request, tmp_path, store):
    """An empty place on each kind of storage."""
    return f"file://{tmp_path}/base" if request.param == "disk" else "memory://bucket/base"
