"""The second half of a job, in another task, another DAG or on another day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_llmbatch._compat import Context
from airflow_provider_llmbatch._shell import airflow_errors, identity_of, job_uri_of
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.operators.job import JobShell


class LLMBatchReconcileOperator(JobShell):
    """Collect a job's results, match them with the records, ask again what may still be answered, and write the rows.

    It goes on where the submitting task stopped, from the job's folder alone; it needs neither the source nor the
    prompt. Doing it twice writes the same bytes.

    :param job: What the submitting task returned, or the job's URI. (templated)

    The other parameters are those of :class:`~airflow_provider_llmbatch.operators.job.JobShell`. It returns the job's
    summary.
    """

    template_fields: Sequence[str] = ("job", "output_uri")
    ui_color = "#e6ffe6"

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Context) -> dict[str, Any]:
        """Go on with the job until its output is written; return the summary."""
        with airflow_errors():
            job = resume(job_uri_of(self.job), self._terms(), log=self.log)
            return self._finish(job, identity_of(context))
