"""Stop what is running at the vendor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_llmbatch._compat import BaseOperator, Context
from airflow_provider_llmbatch._shell import airflow_errors, job_uri_of
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.vendors import load_hook


class LLMBatchCancelOperator(BaseOperator):
    """Ask the vendor to cancel every open batch of a job, and return at once.

    What had finished stays, and stays billed: a reconcile task, or a retry of the job, collects it. OpenAI takes up to
    ten minutes to cancel.

    :param job: What the submitting task returned, the job's URI, or a list of the vendor's batch ids. (templated)
    :param vendor: The vendor of a list of batch ids.
    :param conn_id: The connection of a list of batch ids. Default: ``<vendor>_default``. (templated)

    It returns ``{"cancelled": [batch ids]}``.
    """

    template_fields: Sequence[str] = ("job", "conn_id")
    ui_color = "#ffe6e6"

    def __init__(self, *, job: Any, vendor: str | None = None, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.vendor = vendor
        self.conn_id = conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the cancels; return which batches were asked."""
        from airflow_provider_llmbatch.engine.begin import resume
        from airflow_provider_llmbatch.engine.submit import stop

        with airflow_errors():
            if isinstance(self.job, (list, tuple)):
                return {"cancelled": self._cancel_ids([str(batch_id) for batch_id in self.job])}
            job = resume(job_uri_of(self.job), log=self.log)
            job.refresh()
            return {"cancelled": stop(job)}

    def _cancel_ids(self, batch_ids: list[str]) -> list[str]:
        if self.vendor is None:
            raise InputError("a list of batch ids needs `vendor`, for example vendor='openai'. Nothing was cancelled.")
        hook = load_hook(self.vendor, self.conn_id)
        for batch_id in batch_ids:
            hook.cancel(batch_id)
            self.log.info("Batch %s: cancel asked for", batch_id)
        return batch_ids
