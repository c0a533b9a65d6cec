"""The rows of records that were not asked, written between those of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

import msgspec

from airflow_provider_llmbatch.core.records import BLOCK_BYTES
from airflow_provider_llmbatch.core.results import NO_USAGE
from airflow_provider_llmbatch.core.reuse import Reused, index_of, is_a_row, with_key
from airflow_provider_llmbatch.core.rows import Row, Totals
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reuse import REUSED
from airflow_provider_llmbatch.engine.till import NOTHING
from airflow_provider_llmbatch.engine.verdicts import lines_of, record_lines
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.tables.lines import JsonLines, Write, joined

Line = tuple[int, tuple[str, bytes]]
"""A record's index, its key, and itself as a line of JSON."""

_reused = msgspec.json.Decoder(Reused).decode
_fields = msgspec.json.Decoder(dict[str, Any]).decode


def asked_lines(job: Job, output: Write, totals: Totals, thinks: bool) -> Iterator[Line]:
    """Yield every record that was asked, in order; the rows of the others are written and counted on the way.

    :param thinks: Whether the rows have a column for the model's reasoning.
    """
    reused = job.manifest.reused
    if reused is None or not reused.rows:
        yield from enumerate(lines_of(job))
        return
    totals.add_free(reused.rows)
    with job.folder.files.local(REUSED).open("rb") as file:
        is_ready = is_a_row(file.readline())
        file.seek(0)
        if isinstance(output, JsonLines) and not thinks and is_ready:
            yield from _by_bytes(job, file, output)
        else:
            yield from _one_by_one(job, file, output, thinks)
        if file.readline():
            raise ManifestError(f"{job.folder.files.uri_of(REUSED)!r} holds answers to more than the records.")


def _by_bytes(job: Job, file: IO[bytes], output: JsonLines) -> Iterator[Line]:
    """Do it without decoding an answer: its columns lie there as the row has them."""
    records, column = enumerate(record_lines(job)), job.spec.key

    def key_of(index: int, line: bytes) -> str:
        return str(index) if column is None else str(_fields(line)[column])

    asked = 0
    while answers := file.readlines(BLOCK_BYTES):
        for first, some in _runs(answers):
            for index, own in islice(records, first - asked):
                yield index, (key_of(index, own), own)
            lines = [own for _, own in islice(records, len(some))]
            if column is not None:
                keys = [str(_fields(line)[column]) for line in lines]
                some = list(map(with_key, some, range(first, first + len(some)), keys))
            output.many(b"".join(map(joined, lines, some)))
            asked = first + len(lines)
    for index, own in records:
        yield index, (key_of(index, own), own)


def _runs(answers: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield answers to records that follow each other, with the first record's index."""
    indexes = list(map(index_of, answers))
    start = 0
    for place in range(1, len(indexes) + 1):
        if place == len(indexes) or indexes[place] != indexes[place - 1] + 1:
            yield indexes[start], answers[start:place]
            start = place


def _one_by_one(job: Job, file: IO[bytes], output: Write, thinks: bool) -> Iterator[Line]:
    found = map(_reused, file)
    due = next(found, None)
    for index, (key, own) in enumerate(lines_of(job)):
        if due is None or index != due.llm_index:
            yield index, (key, own)
            continue
        answer = due.answer()
        output(own, Row(index, key, own, answer, NO_USAGE, NOTHING, [answer]).as_columns(thinks))
        due = next(found, None)
