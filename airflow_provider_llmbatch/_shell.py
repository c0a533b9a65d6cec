"""What the operators and the sensor share: from Airflow's context to a job, and from our errors to Airflow's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_llmbatch._compat import AirflowException, AirflowFailException, Context, Log, conf
from airflow_provider_llmbatch.exceptions import (
    BudgetExhaustedError,
    CostCapError,
    CredentialError,
    IncompleteError,
    InputError,
    LLMBatchError,
    RejectedError,
)

if TYPE_CHECKING:  # a DAG file is parsed again and again: what does the work is imported where the work is done
    from airflow_provider_llmbatch.engine import Job, Wait
    from airflow_provider_llmbatch.engine.begin import Identity
    from airflow_provider_llmbatch.triggers.watch import Event, Waiting

PATIENCE = timedelta(hours=26)
"""Both vendors promise 24 h and end late."""
REMEMBERED = 30 * 24 * 60 * 60
"""Seconds after which neither vendor knows a batch any more (FACTS §0)."""
NO_RETRY_HELPS = (
    InputError,
    RejectedError,
    CredentialError,
    BudgetExhaustedError,
    IncompleteError,
    CostCapError,
)
LOCAL_EXECUTORS = frozenset({"LocalExecutor", "SequentialExecutor", "DebugExecutor"})


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turn what no retry can help into an ``AirflowFailException``; Airflow retries the rest by its own rules."""
    try:
        yield
    except NO_RETRY_HELPS as error:
        raise AirflowFailException(str(error)) from error
    except LLMBatchError as error:
        raise AirflowException(str(error)) from error


def identity_of(context: Context) -> Identity:
    """Return which task instance *context* is about."""
    from airflow_provider_llmbatch.engine.begin import Identity

    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return Identity(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=map_index)


def lookup_since(context: Context) -> float | None:
    """Return from when on an earlier attempt may have sent something, or ``None`` if this is the first.

    A cleared run starts anew, so its own start is not early enough; neither vendor keeps a batch longer than 30 days.
    """
    if (context["ti"].try_number or 1) <= 1:
        return None
    run = context.get("dag_run")
    times = [getattr(run, name, None) for name in ("run_after", "queued_at", "start_date", "logical_date")]
    return max(min((at.timestamp() for at in times if at), default=0.0), time.time() - REMEMBERED)


def job_uri_of(job: Any) -> str:
    """Return the URI of *job*: a summary, or the URI itself.

    :raises InputError: It is neither.
    """
    uri = job.get("job_uri") if isinstance(job, Mapping) else job
    if isinstance(uri, str) and uri:
        return uri
    raise InputError(f"job must be what a submitting task returned, or a job's URI; it is a {type(job).__name__}.")


def folder_uri(base_uri: str | None, identity: Identity) -> str:
    """Return where the job of *identity* lies.

    :raises InputError: No ``base_uri`` is set, and the executor's workers need not share a disk.
    """
    from airflow_provider_llmbatch.storage.layout import job_uri

    base = base_uri or conf.get("llmbatch", "base_uri", fallback="") or _local_base()
    return job_uri(base, **asdict(identity))


def _local_base() -> str:
    executors = {name.strip().rsplit(".", 1)[-1] for name in conf.get("core", "executor").split(",")}
    executors = {name.rsplit(":", 1)[-1].rsplit(".", 1)[-1] for name in executors}
    if not executors <= LOCAL_EXECUTORS:
        raise InputError(
            f"base_uri is not set, and with {', '.join(sorted(executors))} the next attempt may run on a machine that "
            "does not see this one's disk: it would pay again. Nothing was sent. Set base_uri on the task, or "
            "AIRFLOW__LLMBATCH__BASE_URI, to storage that every worker reaches, for example s3://bucket/llmbatch."
        )
    from airflow.configuration import AIRFLOW_HOME

    return f"file://{AIRFLOW_HOME}/llmbatch"


def waiting_for(job: Job, wait: Wait, *, poll_interval: float, identity: Identity) -> Waiting:
    """Put *wait* into the JSON primitives that a trigger takes."""
    from airflow_provider_llmbatch.triggers.watch import Waiting

    return Waiting(
        vendor=job.hook.vendor,
        conn_id=job.hook.conn_id,
        batch_ids=wait.batch_ids,
        candidates=wait.candidates,
        job_uri=job.folder.uri,
        until=wait.until,
        wake_at=wait.wake_at,
        give_up_at=wait.give_up_at,
        poll_interval=poll_interval,
        task_instance=asdict(identity),
        record=record_of(job, "in_progress"),
    )


def wait_here(waiting: Waiting, log: Log) -> Event:
    """Wait in this process, as the trigger would."""
    from airflow_provider_llmbatch.triggers.watch import Watcher

    return asyncio.run(_interruptible(Watcher(waiting, log).run()))


async def _interruptible(wait: Coroutine[Any, Any, Event]) -> Event:
    """Wait, and let what a signal raises through: Airflow's timeout is one.

    It strikes wherever the main thread is. In a callback of the loop, asyncio would log it and wait on.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(wait)
    struck: asyncio.Future[Event] = loop.create_future()

    def on_error(loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
        error = details.get("exception")
        if error is None or isinstance(error, Exception) or struck.done():
            loop.default_exception_handler(details)
        else:
            struck.set_exception(error)

    loop.set_exception_handler(on_error)
    try:
        done, _ = await asyncio.wait({task, struck}, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def record_of(job: Job, status: str, summary: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the job's record: counts and times, no text."""
    from airflow_provider_llmbatch.core.progress import SCHEMA

    record: dict[str, Any] = {
        "schema": SCHEMA,
        "job_uri": job.folder.uri,
        "vendor": job.hook.vendor,
        "model": job.spec.model,
        "status": status,
        "round": len(job.manifest.rounds),
        "records": job.manifest.records if job.manifest.rounds else None,
        "created_at": round(job.spec.created_at, 3),
    }
    names = (
        "counts",
        "usage",
        "cost_usd",
        "sync_cost_usd",
        "submitted_at",
        "in_progress_at",
        "completed_at",
        "seconds",
    )
    return record | {name: summary[name] for name in names if summary and name in summary}


def publish(job: Job, identity: Identity, status: str, summary: Mapping[str, Any] | None = None) -> None:
    """Write the job's record to its task instance."""
    from airflow_provider_llmbatch._report import report

    report(asdict(identity), record_of(job, status, summary) | {"updated_at": round(job.clock(), 3)})
