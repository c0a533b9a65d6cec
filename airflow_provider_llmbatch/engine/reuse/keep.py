"""What this job paid for goes to the store, once its rows are written: the next job finds it there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.core.reuse import cost_of, stored_line
from airflow_provider_llmbatch.core.rows import Answer, best
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reuse import ASKED, INDEX_AND_DIGEST
from airflow_provider_llmbatch.engine.till import Till
from airflow_provider_llmbatch.engine.verdicts import all_answers, requests_of
from airflow_provider_llmbatch.storage.answers import Store, segment_name
from airflow_provider_llmbatch.storage.index import Kept

BLOCK = 1 << 12
"""Digests that are read at once."""


def keep_answers(job: Job) -> None:
    """Write the good answers of this job to its store, unless that was done.

    A store that cannot be written is a warning: the rows are there, and only the next job pays again.
    """
    reused = job.manifest.reused
    if reused is None:
        return
    try:
        _write(job, reused)
    except Exception as error:  # each storage has errors of its own
        job.log.warning(
            "The answers of %s could not be kept in %s (%s: %s). The output is complete; another job will pay for "
            "these records again, unless this task is cleared once the store can be written.",
            job.folder.uri,
            reused.uri,
            type(error).__name__,
            error,
        )


def _write(job: Job, reused: Reuse) -> None:
    store = Store(reused.uri)
    name = segment_name(job.spec.job_id, job.spec.created_at, job.manifest.base)
    if store.has(name):
        return
    facts = {"created_at": job.spec.created_at, "vendor": job.hook.vendor, "model": job.spec.model}
    count = store.write(name, _answers(job), **facts)
    if count:
        job.log.info("%s answers were kept in %s for later jobs.", f"{count:,}", reused.uri)


def _answers(job: Job) -> Iterator[Kept]:
    """Yield every good answer, in the order of the records.

    The digest is that of the first request, whatever round brought the answer: it is what another job asks first. A
    reopened job kept the answers of its earlier rounds when it was over for the first time.
    """
    till, base, by_first = Till(job), job.manifest.base, _ByFirstModel(job)
    digests = _digests(job)
    for index, answers in all_answers(job):
        digest = next(digest for number, digest in digests if number == index)  # twins have one as well
        answer = best(answers)
        if answer.result.status != "succeeded" or answer.round < base or not by_first.gave(answer, index):
            continue
        yield Kept(digest, stored_line(digest, answer), cost_of(till.take(answers)))


def _digests(job: Job) -> Iterator[tuple[int, bytes]]:
    """Yield index and digest of every record that the store had no answer for."""
    with job.folder.files.local(ASKED).open("rb") as file:
        blocks = iter(lambda: file.read(BLOCK * INDEX_AND_DIGEST.size), b"")
        yield from chain.from_iterable(map(INDEX_AND_DIGEST.iter_unpack, blocks))


class _ByFirstModel:
    """Tells which answers the fallback model gave: another model's answer is not that of the question asked first."""

    def __init__(self, job: Job) -> None:
        self._model_of = job.hook.model_of
        self._asked = {round_.number: requests_of(job, round_) for round_ in job.manifest.rounds}

    def gave(self, answer: Answer, index: int) -> bool:
        return answer.round == 1 or self._model(answer.round, index) == self._model(1, index)

    def _model(self, round_: int, index: int) -> str | None:
        return self._model_of(next(asked.line for asked in self._asked[round_] if asked.index == index))
