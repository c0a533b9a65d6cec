"""From what a task asks to a job at hand: the fingerprint, and what happens when it changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch.core.requests import job_id
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.job import Job, Plan, Terms
from airflow_provider_llmbatch.engine.submit import stop
from airflow_provider_llmbatch.exceptions import ChangedError, ManifestError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.storage.layout import SUMMARY, JobFolder, Spec
from airflow_provider_llmbatch.vendors import load_hook

OnChange = Literal["restart", "fail", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which task instance asks. The try number is not part of it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def begin(
    folder: JobFolder,
    identity: Identity,
    hook: BatchHook,
    plan: Plan,
    terms: Terms,
    *,
    on_change: OnChange = "restart",
    lookup_since: float | None = None,
    **seams: Any,
) -> Job:
    """Open the job of *identity*, or begin it.

    :param on_change: What to do when the folder holds another question: ``restart`` moves it aside and cancels its
        live batches, ``fail`` stops, ``keep`` goes on with the old one.
    :param lookup_since: Epoch seconds from which on an earlier attempt of this task instance may have sent something;
        ``None`` for a first attempt. If the folder is empty all the same, its state was lost, and the vendor's list is
        searched before anything is sent.
    :raises ChangedError: The question changed, and *on_change* is ``fail``.
    """
    asked = fingerprint(plan, hook)
    spec = folder.spec()
    if spec is not None and folder.is_moving(spec):
        folder.supersede()
        spec, lookup_since = None, None
    elif spec is not None and spec.fingerprint != asked and on_change != "keep":
        asker = load_hook(spec.vendor, spec.conn_id)  # the new question may go to another vendor
        _make_way(Job(folder=folder, spec=spec, hook=asker, terms=terms, **seams), on_change)
        spec, lookup_since = None, None
    is_new = spec is None
    if spec is None:
        spec = folder.begin(
            _spec(
                identity,
                hook,
                plan,
                terms,
                fingerprint=asked,
                generation=sum(old.fingerprint == asked for old in folder.superseded()),
                created_at=seams.get("clock", time.time)(),
                lookup_since=lookup_since,
            )
        )
    question = plan.question if spec.fingerprint == asked else folder.question()
    return Job(
        folder=folder, spec=spec, hook=hook, terms=terms, plan=plan, question=question, was_begun=not is_new, **seams
    )


def resume(uri: str, terms: Terms | None = None, **seams: Any) -> Job:
    """Open a job that some process began, from its folder alone.

    :param terms: Default: those that the job was begun with.
    :raises ManifestError: There is no job at *uri*.
    """
    folder = JobFolder(uri)
    spec = folder.spec()
    if spec is None:
        raise ManifestError(
            f"there is no job at {uri!r}: job.json is not there. Nothing was resubmitted. If it was written, this "
            "worker does not see the storage that wrote it: base_uri must be storage that every worker reaches.",
            uri=uri,
        )
    if folder.is_moving(spec):
        raise ManifestError(
            f"the job at {uri!r} is being moved aside, since its question changed. Nothing was submitted. Clear the "
            "task that asks.",
            uri=uri,
        )
    terms = terms or Terms(
        output_uri=spec.output_uri,
        max_rounds=spec.max_rounds,
        max_failed_ratio=spec.max_failed_ratio,
        max_cost_usd=spec.cap,
    )
    hook = load_hook(spec.vendor, spec.conn_id)
    return Job(folder=folder, spec=spec, hook=hook, terms=terms, question=folder.question(), **seams)


def reopen(job: Job, by: str) -> None:
    """Let the rows of a job that is over and have no good answer be asked anew, once for each *by*.

    A job that is not over yet is left as it is: its own rounds come first.
    """
    manifest = job.refresh()
    is_over = manifest.rounds and manifest.rounds[-1].is_collected and job.folder.files.exists(SUMMARY)
    if is_over and by not in manifest.reopened.values():
        job.record("reopened", round_=manifest.rounds[-1].number + 1, by=by)


def fingerprint(plan: Plan, hook: BatchHook) -> str:
    """Return a digest of the question and of the source's identity: equal means *the same job, go on*."""
    parts: Mapping[str, Any] = {
        "vendor": hook.vendor,
        "question": asdict(plan.question),
        "source": plan.source.identity(),
        "key": plan.key,
    }
    return sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def _spec(
    identity: Identity, hook: BatchHook, plan: Plan, terms: Terms, *, fingerprint: str, generation: int, **facts: Any
) -> Spec:
    return Spec(
        job_id=job_id(**asdict(identity), fingerprint=fingerprint, generation=generation),
        fingerprint=fingerprint,
        vendor=hook.vendor,
        model=plan.question.model,
        conn_id=hook.conn_id,
        endpoint=plan.question.endpoint,
        source=plan.source.identity(),
        key=plan.key,
        output_uri=terms.output_uri,
        max_rounds=terms.max_rounds,
        max_failed_ratio=terms.max_failed_ratio,
        max_cost_usd=msgspec.UNSET if terms.max_cost_usd is None else money(terms.max_cost_usd),
        **asdict(identity),
        generation=generation,
        **facts,
    )


def _make_way(job: Job, on_change: OnChange) -> None:
    if on_change == "fail":
        raise ChangedError(
            f"the question or its source changed since {job.folder.uri!r} was begun, and on_change='fail'. Nothing was "
            "sent, nothing was cancelled. Restore the question, or set on_change to 'restart' or 'keep'.",
            uri=job.folder.uri,
        )
    job.refresh()
    if job.is_offline and any(shard.phase in ("submitted", "unknown") for shard in job.manifest.shards):
        raise ChangedError(
            f"the question or its source changed since {job.folder.uri!r} was begun, and batches of it may run at the "
            "vendor: an estimate cancels nothing. Nothing was sent. Let them end, or cancel them, or estimate in "
            "another task or run.",
            uri=job.folder.uri,
        )
    cancelled = [] if job.is_offline else stop(job)
    moved = job.folder.supersede()
    job.log.warning(
        "The question or its source changed: the old job was moved to %s, %d live batches of it were cancelled (what "
        "they had finished is billed), and everything is asked anew.",
        moved,
        len(cancelled),
    )
