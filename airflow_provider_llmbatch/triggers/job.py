"""The trigger of a job: it waits for batches and says when to go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, fields
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_llmbatch.exceptions import VendorError
from airflow_provider_llmbatch.triggers.watch import Waiting, Watcher
from airflow_provider_llmbatch.vendors import load_hook

_NAMES = frozenset(field.name for field in fields(Waiting))


class LLMBatchJobTrigger(BaseTrigger):
    """Wait for the batches of a job, then fire one event that says why.

    It touches no object storage and makes no blocking call on the event loop. Its arguments are JSON primitives;
    those it does not know, from a later release, are left alone.

    :param cancel_on_kill: Ask the vendor to cancel when the deferred task is killed, cleared or marked (Airflow 3.3+).
    :param waiting: See :class:`~airflow_provider_llmbatch.triggers.watch.Waiting`.
    """

    def __init__(self, *, cancel_on_kill: bool = False, **waiting: Any) -> None:
        super().__init__()
        self.cancel_on_kill = cancel_on_kill
        self.waiting = Waiting(**{name: value for name, value in waiting.items() if name in _NAMES})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        path = f"{LLMBatchJobTrigger.__module__}.{LLMBatchJobTrigger.__qualname__}"
        return path, {"cancel_on_kill": self.cancel_on_kill, **asdict(self.waiting)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event once there is something to do."""
        yield TriggerEvent(dict(await Watcher(self.waiting, self.log).run()))

    async def on_kill(self) -> None:
        """Ask for the cancel and return at once; what is finished is collected by the next attempt."""
        if self.cancel_on_kill:
            await sync_to_async(self._cancel)()

    def _cancel(self) -> None:
        hook = load_hook(self.waiting.vendor, self.waiting.conn_id)
        for batch_id in self.waiting.batch_ids:
            try:
                hook.cancel(batch_id)
                self.log.info("Batch %s: cancel asked for", batch_id)
            except VendorError as error:
                self.log.warning("Batch %s could not be cancelled: %s", batch_id, error)
