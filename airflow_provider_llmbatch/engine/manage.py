"""What a person on call does with jobs, without a DAG: find them, read them, set them aside, sweep up after them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from airflow_provider_llmbatch._compat import Log, ObjectStoragePath
from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.engine.collect import look
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.reading import name_in
from airflow_provider_llmbatch.engine.settle import PROOF_LINES
from airflow_provider_llmbatch.engine.submit import stop
from airflow_provider_llmbatch.exceptions import InputError, ManifestError, TransferError, VendorError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.storage.layout import SPEC, SUMMARY, SUPERSEDED

DEPTH = 6
"""Levels below a base URI at which a job may lie: dag, run, task and map index, ``superseded`` and a number."""
_CUSTOM_ID = re.compile(r"(?P<job>[0-9a-f]{10})-(?P<round>\d{1,3})-\d{1,15}")

Status = Literal["prepared", "submitting", "in doubt", "running", "to collect", "collected", "completed", "capped"]


def find_jobs(base_uri: str, *, aside: bool = False) -> Iterator[str]:
    """Yield the URI of every job at or below *base_uri*, in order.

    :param aside: Look for those that were moved aside instead of those that count.
    :raises InputError: There is nothing at *base_uri*.
    :raises ManifestError: Something below it cannot be listed, so nobody can say which jobs there are.
    """
    base_uri = base_uri.rstrip("/")
    try:
        root = ObjectStoragePath(base_uri)
        top = root.fs._strip_protocol(root.path)
        root.fs.invalidate_cache()
        for here in _below(root.fs, top, DEPTH, aside=aside):
            yield base_uri + here.removeprefix(top)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"there is no folder {base_uri!r} ({type(error).__name__}: {error}).") from None
    except Exception as error:  # each storage has errors of its own
        raise ManifestError(f"{base_uri!r} cannot be listed ({type(error).__name__}: {error}).") from None


def _below(fs: Any, here: str, depth: int, *, aside: bool, within: bool = False) -> Iterator[str]:
    """Yield the folders of jobs at or below *here*; *within*: it lies in what was moved aside."""
    entries = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in fs.ls(here, detail=True)}
    is_job = SPEC in entries
    if is_job and within == aside:
        yield here
    if not depth:
        return
    for name, entry in sorted(entries.items()):
        # A task that is mapped now may have been an unmapped one before: then both have a job.
        wanted = name.isdigit() if is_job else aside or name != SUPERSEDED
        if wanted and entry["type"] == "directory":
            yield from _below(fs, f"{here}/{name}", depth - 1, aside=aside, within=within or name == SUPERSEDED)


def status_of(job: Job) -> Status:
    """Say in one word how far *job* has come, as far as it is written down.

    :raises ManifestError: Its summary cannot be read.
    """
    shards = job.manifest.shards
    is_unsent = all(shard.phase == "ready" and shard.attempt == 1 for shard in shards)
    if not job.manifest.rounds or (shards and is_unsent):  # a job may have nothing to ask
        return "prepared"
    phases = {shard.phase for shard in shards}
    named: tuple[tuple[str, Status], ...] = (
        ("unknown", "in doubt"),
        ("submitted", "running"),
        ("ended", "to collect"),
        ("ready", "submitting"),
    )
    for phase, status in named:
        if phase in phases:
            return status
    summary = summary_of(job)
    if summary is None:
        return "collected"
    return "capped" if summary.get("status") == "capped" else "completed"


def summary_of(job: Job) -> dict[str, Any] | None:
    """Return what the task returned, or ``None`` if it has not come so far."""
    document = job.folder.files.read(SUMMARY)
    if document is None:
        return None
    try:
        summary: dict[str, Any] = msgspec.json.decode(document)
    except msgspec.DecodeError as error:
        raise ManifestError(f"{job.folder.files.uri_of(SUMMARY)!r} cannot be read ({error}).") from None
    return summary


def live(job: Job) -> list[str]:
    """Return the names of the shards whose batch runs at the vendor, or may."""
    return [shard.name for shard in job.manifest.shards if shard.phase in ("submitted", "unknown")]


def halt(job: Job) -> tuple[list[str], list[str]]:
    """Cancel what still runs at the vendor.

    :return: The batches that were asked, and the shards of which one may run on: the cancel was refused, or the batch
        cannot be told yet.
    """
    look(job)
    asked = stop(job)
    left = [
        shard.name
        for shard in job.manifest.shards
        if shard.phase == "unknown" or (shard.phase == "submitted" and shard.batch_id not in asked)
    ]
    return asked, left


@dataclass(frozen=True, slots=True)
class Orphan:
    """A batch at the vendor that no job waits for.

    :ivar job_id: The job that it says it is of; ``None``: not known before it has ended.
    :ivar shard: Stem of round and shard, or the round alone where the vendor keeps no marker.
    """

    batch: Batch
    job_id: str | None
    shard: str | None


class Sweep:
    """Finds batches at a vendor that carry our marker and that no job waits for.

    A job that was moved aside waits for nothing. A batch whose answer was lost belongs to the shard that still looks
    for it.

    :param uris: Jobs, or folders above them. **Batches of jobs elsewhere look like orphans.**
    """

    def __init__(self, hook: BatchHook, uris: Iterable[str], log: Log) -> None:
        self._hook = hook
        self._log = log
        self._claimed: set[str] = set()
        self._sought: set[tuple[str, str]] = set()
        for job_uri in {found for uri in uris for found in find_jobs(uri)}:
            self._claim(resume(job_uri, log=log))

    def _claim(self, job: Job) -> None:
        job.refresh()
        self._claimed |= job.known_batches
        for shard in job.manifest.shards:
            if shard.phase == "unknown":
                self._sought |= {(job.spec.job_id, shard.name), (job.spec.job_id, f"r{shard.round}")}

    def run(self, since: float) -> list[Orphan]:
        """Return the orphans created at or after *since* (epoch seconds), newest first."""
        batches = self._hook.run(self._hook.batches_since(since))
        candidates = [batch for batch in batches if batch.batch_id not in self._claimed]
        found = map(self._by_marker if self._hook.has_metadata else self._by_results, candidates)
        return [orphan for orphan in found if orphan and (orphan.job_id, orphan.shard) not in self._sought]

    @staticmethod
    def _by_marker(batch: Batch) -> Orphan | None:
        job_id = batch.marker.get("llmbatch_job")
        return Orphan(batch, job_id, batch.marker.get("llmbatch_shard")) if job_id else None

    def _by_results(self, batch: Batch) -> Orphan | None:
        """Tell a batch without a marker by the custom id of its first result line: the vendor has nothing else."""
        if not batch.is_terminal:
            return Orphan(batch, None, None)
        try:
            lines = self._hook.first_lines(batch, PROOF_LINES)
        except (VendorError, TransferError) as error:
            self._log.warning("Batch %s cannot be told: %s", batch.batch_id, error)
            return None
        mark = next(filter(None, map(_mark, lines)), None)
        return Orphan(batch, mark["job"], f"r{mark['round']}") if mark else None


def _mark(line: bytes) -> re.Match[str] | None:
    """Return job and round if the line's custom id has our form."""
    name = name_in(line)
    return _CUSTOM_ID.fullmatch(name) if name else None
