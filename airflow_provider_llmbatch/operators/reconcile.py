"""The second half of a job, in another task, another DAG or on another day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_llmbatch._compat import Context
from airflow_provider_llmbatch._shell import airflow_errors, identity_of, job_uri_of
from airflow_provider_llmbatch.operators.job import JobShell

if TYPE_CHECKING:
    from airflow_provider_llmbatch.engine import Job


class LLMBatchReconcileOperator(JobShell):
    """Collect a job's results, match them with the records, ask again what may still be answered, and write the rows.

    It goes on where the submitting task stopped, or sends what a task with ``estimate_only`` prepared. The job's folder
    alone tells it how: it needs neither the source nor the prompt. Doing it twice writes the same bytes.

    :param job: What the submitting task returned, or the job's URI; or the ``failed/`` folder of a job, which asks for
        *reask*. (templated)
    :param reask: Ask the rows of a job that is over, yesterday's for example, once more if they have no good answer,
        for up to *max_rounds* further rounds. However often this task is retried or cleared, it does so once.

    The other parameters are those of :class:`~airflow_provider_llmbatch.operators.job.JobShell`; *output_type* must be
    the submitting task's, else its JSON Schema alone decides what is valid. It returns the job's summary.
    """

    template_fields: Sequence[str] = ("job", "output_uri", "fallback_model", "max_cost_usd")
    ui_color = "#e6ffe6"

    def __init__(self, *, job: Any, reask: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.reask = reask

    def execute(self, context: Context) -> dict[str, Any]:
        """Go on with the job until its output is written; return the summary."""
        from airflow_provider_llmbatch.engine.begin import reopen

        with airflow_errors():
            identity = identity_of(context)
            uri, is_failed_folder = without_failed(job_uri_of(self.job))
            job = self._open(uri, context)
            self._check_fallback(job.hook.vendor)
            if self.reask or is_failed_folder:
                reopen(job, "/".join(map(str, asdict(identity).values())))
            return self._finish(job, identity)

    def _open(self, uri: str, context: Context) -> Job:
        """Open the job; the cap that it was begun with holds here too, unless this task names its own."""
        job = super()._open(uri, context)
        if self.max_cost_usd is None:
            job.terms = replace(job.terms, max_cost_usd=job.spec.cap)
        return job


def without_failed(uri: str) -> tuple[str, bool]:
    """Return the URI of the job that a folder of failed rows, or the file in it, belongs to, and whether it is one."""
    from airflow_provider_llmbatch.storage.layout import FAILED

    uri = uri.rstrip("/")
    for tail in (f"/{FAILED}", f"/{FAILED.partition('/')[0]}"):
        if uri.endswith(tail):
            return uri.removesuffix(tail), True
    return uri, False
