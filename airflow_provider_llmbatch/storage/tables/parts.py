"""A folder of parts, which is complete when its manifest is there.

The manifest names the parts, is written last and removed first: no reader that looks for it ever takes some old parts
and some new ones for an output.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.storage.folder import Folder
from airflow_provider_llmbatch.storage.tables.columns import PART_ROWS

MANIFEST = "_manifest.json"
"""Spark, Hive and pyarrow leave out what starts with an underscore when they read a folder."""
SCHEMA = 1
_PART = re.compile(r"part-\d{5,}\.(jsonl|jsonl\.gz|csv|parquet)")
"""Our own names: what others put into the folder is left alone."""

Open = Callable[[Path], AbstractContextManager[Callable[..., object]]]


class Parts:
    """Writes rows into one part after another.

    :param suffix: The suffix of every part.
    :param opener: Opens one part for writing.
    """

    def __init__(self, folder: Folder, suffix: str, opener: Open, job: str) -> None:
        self._folder = folder
        self._suffix = suffix
        self._opener = opener
        self._job = job
        self._done: list[dict[str, Any]] = []
        self._part: ExitStack | None = None
        self._write: Callable[..., object]
        self._rows = 0

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._finish()
        elif self._part is not None:
            self._part.__exit__(kind, error, trace)

    def write(self, *rows: Sequence[Any]) -> None:
        """Write what the opened part takes: rows, or their halves, each as many as the other."""
        while rows[0]:
            if self._rows >= PART_ROWS:
                self._close()
            if self._part is None:
                self._open()
            room = PART_ROWS - self._rows
            self._write(*[some[:room] for some in rows])
            self._rows += len(rows[0][:room])
            rows = tuple(some[room:] for some in rows)

    def _open(self) -> None:
        with ExitStack() as stack:
            path = stack.enter_context(self._folder.landing(self._name))
            stack.push(self._unmark)
            self._write = stack.enter_context(self._opener(path))
            self._part = stack.pop_all()

    def _unmark(self, kind: Any, *_: Any) -> None:
        """Take the old manifest away, at the last moment: the first part is written, and lands next."""
        if kind is None and not self._done:
            self._folder.remove(MANIFEST)

    @property
    def _name(self) -> str:
        return f"part-{len(self._done):05}.{self._suffix}"

    def _close(self) -> None:
        if self._part is not None:
            self._part.close()
            self._done.append({"name": self._name, "rows": self._rows})
            self._part, self._rows = None, 0

    def _finish(self) -> None:
        if self._part is None and not self._done:
            self._open()  # no rows: a part with a header and a schema, all the same
        self._close()
        names = {part["name"] for part in self._done}
        for name in self._folder.names(""):
            if _PART.fullmatch(name) and name not in names:
                self._folder.remove(name)
        document = {"schema": SCHEMA, "job": self._job, "rows": sum(part["rows"] for part in self._done)}
        self._folder.replace(MANIFEST, msgspec.json.format(msgspec.json.encode(document | {"parts": self._done})))
