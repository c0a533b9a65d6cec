"""Wait until the submitted batches of a job have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from time import time
from typing import Any

from airflow_provider_llmbatch._compat import BaseSensorOperator, Context, conf
from airflow_provider_llmbatch._shell import PATIENCE, airflow_errors, job_uri_of
from airflow_provider_llmbatch.exceptions import DeadlineError, InputError
from airflow_provider_llmbatch.vendors import load_hook


class LLMBatchJobSensor(BaseSensorOperator):
    """Wait until every submitted batch of a job has ended, in whatever state.

    An expired or failed batch has ended too: what it holds is for the reconcile task to judge.

    :param job: What the submitting task returned, the job's URI, or a list of the vendor's batch ids. (templated)
    :param vendor: The vendor of a list of batch ids.
    :param conn_id: The connection of a list of batch ids. Default: ``<vendor>_default``. (templated)
    :param deferrable: Wait in the triggerer, without a worker slot. Default: ``[operators] default_deferrable``.
    :param poke_interval: Seconds between two looks.
    :param timeout: Seconds until it gives up. Default 26 hours: both vendors promise 24 and end late.
    """

    template_fields: Sequence[str] = ("job", "conn_id")
    ui_color = "#fff7e6"

    def __init__(
        self,
        *,
        job: Any,
        vendor: str | None = None,
        conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        timeout: float = PATIENCE / timedelta(seconds=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.job = job
        self.vendor = vendor
        self.conn_id = conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait, here or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            if not self.poke(context):
                self._defer(time() + float(self.timeout))
        return None

    def poke(self, context: Context) -> bool:
        """Return whether every submitted batch has ended."""
        with airflow_errors():
            vendor, conn_id, batch_ids = self._batches()
            hook = load_hook(vendor, conn_id)
            found = hook.run(hook.look(batch_ids))
            for batch in found.values():
                self.log.info("%s", batch.progress_line(now=time()))
            return all(batch_id in found and found[batch_id].is_terminal for batch_id in batch_ids)

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Return after a deferral once every batch has ended."""
        with airflow_errors():
            if event and event.get("reason") == "deadline":
                raise DeadlineError(
                    f"batches were still running after {float(self.timeout):,.0f} s. They keep running and billing; "
                    "clear this task to wait on."
                )
            if not self.poke(context):
                self._defer(time() + float(self.timeout))

    def _defer(self, give_up_at: float) -> None:
        from airflow_provider_llmbatch.triggers.job import LLMBatchJobTrigger
        from airflow_provider_llmbatch.triggers.watch import Waiting

        vendor, conn_id, batch_ids = self._batches()
        waiting = Waiting(
            vendor=vendor,
            conn_id=conn_id,
            batch_ids=batch_ids,
            give_up_at=give_up_at,
            poll_interval=float(_seconds(self.poke_interval)),
        )
        self.defer(
            trigger=LLMBatchJobTrigger(cancel_on_kill=False, **asdict(waiting)), method_name=self.resume.__name__
        )

    def _batches(self) -> tuple[str, str | None, list[str]]:
        """Return vendor, connection and ids of the batches to wait for."""
        from airflow_provider_llmbatch.engine.begin import resume

        if isinstance(self.job, (list, tuple)):
            if self.vendor is None:
                raise InputError("a list of batch ids needs `vendor`, for example vendor='openai'.")
            return self.vendor, self.conn_id, [str(batch_id) for batch_id in self.job]
        job = resume(job_uri_of(self.job))
        open_ids = [shard.batch_id for shard in job.refresh().open if shard.batch_id]
        return job.hook.vendor, job.hook.conn_id, open_ids


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
