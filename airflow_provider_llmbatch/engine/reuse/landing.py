"""The rows of records that were not asked, written between those of the others."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_llmbatch.core.results import NO_USAGE
from airflow_provider_llmbatch.core.reuse import index_of, is_a_row, made_a_row
from airflow_provider_llmbatch.core.rows import Totals
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.landing import with_key
from airflow_provider_llmbatch.engine.reuse import REUSED
from airflow_provider_llmbatch.engine.verdicts import lines_of
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.tables.lines import Write

Line = tuple[int, tuple[str, bytes]]
"""A record's index, its key, and itself as a line of JSON."""


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
    is_keyed, count = job.spec.key is not None, 0
    with job.folder.files.local(REUSED).open("rb") as file:
        line = file.readline()
        is_ready = is_a_row(line) and not thinks
        due = index_of(line)
        for index, (key, own) in enumerate(lines_of(job)):
            if index != due:
                yield index, (key, own)
                continue
            ours = line if is_ready else made_a_row(line, thinks)
            output(own, with_key(ours, index, key) if is_keyed else ours)
            count += 1
            line = file.readline()
            due = index_of(line) if line else -1
    if count != reused.rows:
        raise ManifestError(
            f"{job.folder.files.uri_of(REUSED)!r} has answers to {count:,} records, and not to {reused.rows:,}. "
            "Restore the file and clear the task; nothing is paid again."
        )
