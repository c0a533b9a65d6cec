"""The rows of records that were not asked, written between those of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import msgspec

from airflow_provider_llmbatch.core.records import end_with_text
from airflow_provider_llmbatch.core.results import NO_USAGE
from airflow_provider_llmbatch.core.reuse import beside, is_a_row, made_a_row, whole_rows
from airflow_provider_llmbatch.core.rows import Totals
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reuse import REUSED
from airflow_provider_llmbatch.engine.verdicts import key_in, lines_of, record_lines
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.tables.lines import JsonLines, Write

Line = tuple[int, tuple[str, bytes]]
"""A record's index, its key, and itself as a line of JSON."""

BUFFER = 1 << 20
MOST = 1 << 7
"""Answers that are in memory at once."""

_encode = msgspec.json.Encoder().encode
_run = msgspec.json.Decoder(tuple[int, int]).decode


def asked_lines(job: Job, output: Write, totals: Totals, thinks: bool) -> Iterator[Line]:
    """Yield every record that was asked, in order; the rows of the others are written and counted on the way.

    No answer is decoded: its columns lie there as the row has them.

    :param thinks: Whether the rows have a column for the model's reasoning.
    """
    reused = job.manifest.reused
    if reused is None or not reused.rows:
        yield from enumerate(lines_of(job))
        return
    totals.add_good(reused.rows, NO_USAGE, ())
    key, owns = job.spec.key, record_lines(job)
    done = written = 0
    is_ready: bool | None = None
    for first, lines in _runs(job):
        for index, own in zip(range(done, first), owns, strict=False):
            yield index, (_name(index, own, key), own)
        done = first + len(lines)
        mine = list(islice(owns, len(lines)))
        lines = lines[: len(mine)]
        if is_ready is None:
            is_ready = all(map(is_a_row, beside(lines[:1], first, None))) and not thinks
        if is_ready and key is None and isinstance(output, JsonLines) and end_with_text(mine):
            output.text(whole_rows(mine, lines, first))  # as a rule: the same with half of the copies
        else:
            keys = None if key is None else [_encode(key_in(own, key)) for own in mine]
            ours = beside(lines, first, keys)
            output(mine, ours if is_ready else [made_a_row(columns, thinks) for columns in ours])
        written += len(mine)
    for index, own in enumerate(owns, done):
        yield index, (_name(index, own, key), own)
    if written != reused.rows:
        raise ManifestError(
            f"{job.folder.files.uri_of(REUSED)!r} and the records beside it make {written:,} rows, and not "
            f"{reused.rows:,}. Restore the files and clear the task; nothing is paid again."
        )


def _name(index: int, own: bytes, key: str | None) -> str:
    return str(index) if key is None else key_in(own, key)


def _runs(job: Job) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the index of the first record and the answers, for all records that follow each other.

    It ends where the file is damaged.
    """
    with job.folder.files.local(REUSED).open("rb", buffering=BUFFER) as file, suppress(msgspec.MsgspecError):
        for head in file:
            first, total = _run(head)
            for start in range(0, total, MOST):
                yield first + start, list(islice(file, min(MOST, total - start)))
