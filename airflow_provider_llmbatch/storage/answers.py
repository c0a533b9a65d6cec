"""A store of answers on any storage, without a server: segments that are written once and never changed.

{reuse_uri}/v1/20261122T060000Z-0a1b2c3d4e-1.jsonl   what one job paid for, in the order of its records
{reuse_uri}/v1/20261122T060000Z-0a1b2c3d4e-1.index   a line of JSON, and what is to be known without reading them

A segment is named by its job, so that a job that is run again writes the same one again; two jobs at once write two.
The index is written last: a segment without one is not there. Where two segments have the same digest, the newer one
counts. Looking for answers takes one list call, and one read of each index; these lie on the worker's disk then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from airflow_provider_llmbatch.core.reuse import FORMAT
from airflow_provider_llmbatch.storage.folder import Folder, open_folder
from airflow_provider_llmbatch.storage.index import IndexWriter, Kept
from airflow_provider_llmbatch.storage.segment import TIME, Segment, begun_at

BUFFER = 1 << 20
_NAME = re.compile(r"^(?P<at>\d{8}T\d{6}Z)-[0-9a-f]{10}-\d+$")


def segment_name(job_id: str, created_at: float, base: int) -> str:
    """Return the name of the segment of a job; it begins with the time, so that names are in the order of time.

    :param base: The round from which on its answers are: 1, or a later one if failed rows were asked anew.
    """
    return f"{datetime.fromtimestamp(created_at, UTC):{TIME}}-{job_id}-{base}"


class Store:
    """The answers below one URI.

    :raises InputError: No installed package serves its scheme.
    """

    def __init__(self, uri: str) -> None:
        self.folder: Folder = open_folder(f"{uri.rstrip('/')}/v{FORMAT}")

    def segments(self, since: float = 0.0) -> list[Segment]:
        """Return the segments that are there, the newest first.

        :param since: Leave out those of before; epoch seconds.
        :raises ManifestError: It cannot be told which there are.
        """
        names = self.folder.names("")
        found = [name.removesuffix(".index") for name in names if name.endswith(".index")]
        segments = [Segment(self.folder, name) for name in sorted(found, reverse=True) if _NAME.match(name)]
        return [segment for segment in segments if segment.created_at >= since]

    def has(self, name: str) -> bool:
        """Return whether there is a segment *name*."""
        return self.folder.exists(f"{name}.index")

    def write(self, name: str, answers: Iterator[Kept], **facts: Any) -> int:
        """Write a segment, unless there is nothing to write, and return how many answers it has.

        :param facts: What :class:`~airflow_provider_llmbatch.storage.index.Head` says besides.
        """
        first = next(answers, None)
        if first is None:
            return 0
        index = IndexWriter()
        with self.folder.landing(f"{name}.jsonl") as path, path.open("wb", buffering=BUFFER) as file:
            for answer in chain([first], answers):
                file.write(answer.line)
                index.add(answer)
        with self.folder.landing(f"{name}.index") as path:
            return index.write(path, **facts)

    def left_over(self, before: float) -> list[str]:
        """Return the files, of before that time, whose segment was not completed."""
        names = self.folder.names("")
        whole = {name.removesuffix(".index") for name in names if name.endswith(".index")}
        lone = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")} - whole
        return [f"{name}.jsonl" for name in sorted(lone) if _NAME.match(name) and begun_at(name) < before]
