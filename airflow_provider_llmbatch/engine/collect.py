"""What has ended is fetched, whole, and counted."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from airflow_provider_llmbatch.core.batches import LAG_SECONDS, Batch
from airflow_provider_llmbatch.core.manifest import ShardState, Tally
from airflow_provider_llmbatch.engine.apart import Crew, helpers
from airflow_provider_llmbatch.engine.cap import cost_of
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.landing import Landing, land
from airflow_provider_llmbatch.engine.settle import patiently
from airflow_provider_llmbatch.engine.window import put_back
from airflow_provider_llmbatch.exceptions import (
    BudgetExhaustedError,
    CredentialError,
    LLMBatchError,
    NotFoundError,
    TransferError,
    VendorError,
)

LARGE = 4 << 20
"""Bytes of results from which on a process of its own reads them."""


def collect(job: Job) -> set[str]:
    """Look at every open batch, and fetch the results of those that ended, in whatever state.

    :return: Batches that the vendor does not show.
    """
    unseen = look(job)
    ended = []
    for shard in [shard for shard in job.manifest.shards if shard.phase == "ended"]:
        batch = shard.batch
        if batch is not None and job.hook.is_queue_full(batch):
            told = "; ".join(error.message for error in batch.errors)
            put_back(job, shard, told, batch_id=batch.batch_id)
        elif batch is not None:
            ended.append((shard, batch))
    _fetch(job, ended)
    return unseen


def look(job: Job) -> set[str]:
    """Ask once how the open batches stand, and write down which have ended; return those that are not shown."""
    waiting = {shard.batch_id: shard for shard in job.manifest.open if shard.batch_id}
    if not waiting:
        return set()
    found = patiently(job, lambda: job.hook.run(job.hook.look(waiting.keys())))
    for batch_id, shard in waiting.items():
        batch = found.get(batch_id)
        if batch is not None and batch.status not in ("validating", "unknown"):
            job.checked.add(batch_id)
        if batch is not None and batch.is_terminal:
            job.log.info("%s", batch.progress_line(now=job.clock()))
            job.record("ended", shard, batch_id=batch_id, batch=batch)
    return waiting.keys() - found.keys()


_Place: TypeAlias = tuple[ShardState, Path]


@dataclass(slots=True)
class _Fetched:
    """Results that came, and are being read.

    :ivar read: Waits for what came of them.
    :ivar landing: Puts *path* where it belongs when it is left well.
    """

    shard: ShardState
    batch: Batch
    path: Path
    read: Callable[[], Landing]
    landing: ExitStack


def _fetch(job: Job, ended: Iterable[tuple[ShardState, Batch]]) -> None:
    """Fetch and count what has ended. While one batch's results are read, those of the next may come."""
    beside = helpers()
    waiting: deque[_Fetched] = deque()
    with Crew[_Place, Landing](lambda place: land(job, *place), job.scratch, size=beside) as crew:
        try:
            for shard, batch in ended:
                waiting.append(_begin(job, shard, batch, crew))
                if len(waiting) > beside:
                    _take(job, waiting.popleft())
            if crew.begun:
                job.log.info("%d processes read results beside this one.", crew.begun)
            _take_all(job, waiting)
        except LLMBatchError:
            _take_all(job, waiting)  # what has come is kept
            raise
        finally:
            for fetched in waiting:
                fetched.landing.__exit__(*sys.exc_info())


def _begin(job: Job, shard: ShardState, batch: Batch, crew: Crew[_Place, Landing]) -> _Fetched:
    with ExitStack() as stack:
        path = stack.enter_context(job.folder.files.landing(job.folder.results_name(shard)))
        _download(job, batch, path)
        if crew.size and path.stat().st_size >= LARGE:
            job.prices.book(job.spec.model)  # looked up here, it is looked up for all children
            read = crew.begin((shard, path))
        else:
            read = partial(land, job, shard, path)
        return _Fetched(shard, batch, path, read, stack.pop_all())


def _take_all(job: Job, waiting: deque[_Fetched]) -> None:
    while waiting:
        _take(job, waiting.popleft())


def _take(job: Job, fetched: _Fetched) -> None:
    shard, batch = fetched.shard, fetched.batch
    with fetched.landing:
        landing = fetched.read()
        if landing.tally.damaged or landing.tally.statuses.get("missing"):
            # What the vendor has and the way here damaged would be asked, and paid, again: read it once more.
            job.log.warning("Batch %s: lines are damaged or missing; its results are read again.", batch.batch_id)
            _download(job, batch, fetched.path)
            landing = land(job, shard, fetched.path)
    job.landings[shard.name] = landing
    cost = cost_of(job, shard, landing)
    if job.record("collected", shard, batch_id=batch.batch_id, tally=landing.tally, cost_usd=cost):
        job.stops.update(landing.tally.stops)
    _report(job, shard, landing.tally)


def _download(job: Job, batch: Batch, path: Path) -> None:
    try:
        job.hook.download(batch, path)
    except TransferError as error:
        # Just after its end a batch's results may not be seen yet; later than that, a 404 means what it says.
        is_settled = job.clock() - (batch.ended_at or job.clock()) > LAG_SECONDS
        if is_settled and isinstance(error.__context__, NotFoundError):
            raise gone(job, [batch.batch_id]) from None
        raise


def gone(job: Job, batch_ids: Sequence[str]) -> NotFoundError:
    """Return the error for batches, or results, that the vendor no longer has."""
    return NotFoundError(
        f"{job.hook.vendor} no longer has the results of {', '.join(batch_ids)} on connection {job.hook.conn_id!r}: "
        "they were deleted, or kept as long as it keeps any (29 or 30 days), or the connection is another account's "
        f"now. Nothing was replaced, nothing was sent, and what was collected is kept in {job.folder.uri!r}. If the "
        "connection is right, only asking anew helps, at full price: `airflow-llmbatch reset`, then clear this task.",
        status=404,
        batch_ids=list(batch_ids),
        job_uri=job.folder.uri,
    )


def _report(job: Job, shard: ShardState, counted: Tally) -> None:
    statuses = ", ".join(f"{count:,} {status}" for status, count in counted.statuses.items())
    job.log.info("Batch %s (%s): %s", shard.batch_id, shard.name, statuses)
    odd = {"damaged": counted.damaged, "duplicated": counted.duplicated, "foreign": counted.foreign}
    if any(odd.values()):
        job.log.warning(
            "Batch %s: %s lines were set aside; every request still has exactly one verdict.",
            shard.batch_id,
            " and ".join(f"{count:,} {what}" for what, count in odd.items() if count),
        )


def stopped(job: Job) -> VendorError:
    """Return the error for rows that only more budget or another key can help."""
    worst = ", ".join(f"{count:,} × {code}" for code, count in job.stops.most_common(5))
    is_budget = any(job.hook.remedy(code) == "budget" for code in job.stops)
    what, cls = ("Raise the budget", BudgetExhaustedError) if is_budget else ("Mend the account", CredentialError)
    still = f"{len(job.manifest.open)} batches run on and are billed. " if job.manifest.open else ""
    return cls(
        f"{job.hook.vendor} refused {job.stops.total():,} requests on connection {job.hook.conn_id!r}: {worst}. "
        f"Nothing more is sent. {still}What was collected is kept in {job.folder.uri!r}. {what}, then clear this task: "
        "it asks only what has no good answer.",
        job_uri=job.folder.uri,
        codes=dict(job.stops),
    )
