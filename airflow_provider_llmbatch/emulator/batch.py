"""A batch: what is known about it, and the folder that remembers it.

batches/<id>/created.json      written once, before the answer to the create call
             requests          the exact bytes of the requests
             checked.json      what validation found
             answered.json     the answers are complete
             cancelled.json    when the cancel was asked for
             ended.json        the end, with its counts and tokens
             deleted.json      Anthropic: the user deleted it; the bill keeps it
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import disk
from airflow_provider_llmbatch.emulator.faults import Fault
from airflow_provider_llmbatch.emulator.lifecycle import Course, Moment, Phase
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import Vendor


class Created(msgspec.Struct, kw_only=True):
    """A batch as it was accepted."""

    id: str
    vendor: Vendor
    number: int
    """Position in the order of creation, over the whole life of the emulator."""
    created_at: float
    """Wall time, epoch seconds."""
    watch: float
    """What a client's watch showed: for lags and hourly limits."""
    course: Course
    sha256: str
    total: int = 0
    """Requests; 0 while OpenAI has not counted them."""
    faults: list[Fault] = []
    details: dict[str, Any] = {}
    """What only one vendor has: endpoint, metadata, API version."""


class Checked(msgspec.Struct, kw_only=True):
    """What validation found."""

    at: float
    total: int
    model: str | None = None
    tokens: int = 0
    """Prompt tokens, as the queue limit counts them."""
    errors: list[dict[str, Any]] = []


class Answered(msgspec.Struct, kw_only=True):
    """The answers are on disk, in the order in which the requests finished."""

    at: float
    failed: list[int] = []
    """Which of them, counted in that order, are errors."""


class Ended(msgspec.Struct, kw_only=True):
    """How it ended."""

    phase: Phase
    at: float
    succeeded: int = 0
    errored: int = 0
    never_ran: int = 0
    usage: Usage = Usage()
    files: dict[str, str] = {}
    """OpenAI: ids of the output and the error file."""


class Batch:
    """One batch, in memory and on disk."""

    def __init__(self, folder: Path, created: Created) -> None:
        self.folder = folder
        self.created = created
        self.checked = disk.read(folder / "checked.json", Checked)
        self.answered = disk.read(folder / "answered.json", Answered)
        self.cancelled = disk.read(folder / "cancelled.json", float)
        self.ended = disk.read(folder / "ended.json", Ended)
        self.deleted = (folder / "deleted.json").exists()
        self.task: asyncio.Task[None] | None = None
        """The work on it, as long as it goes on."""
        self._course: Course | None = None

    @property
    def id(self) -> str:
        """The vendor's id."""
        return self.created.id

    @property
    def total(self) -> int:
        """Number of requests."""
        return self.checked.total if self.checked else self.created.total

    @property
    def course(self) -> Course:
        """What decides its course, with all that has happened so far."""
        if self._course is None:
            self._course = msgspec.structs.replace(
                self.created.course,
                checked=self.checked and self.checked.at,
                answered=self.answered and self.answered.at,
                invalid=bool(self.checked and self.checked.errors),
                cancelled=self.cancelled,
            )
        return self._course

    def at(self, now: float) -> Moment:
        """Return where it stands at *now* (emulated seconds)."""
        if self.ended:
            done = 1.0 if self.ended.phase == Phase.COMPLETED else self.share(self.ended)
            return Moment(self.ended.phase, self.ended.at, done)
        return self.course.at(now)

    def status(self, now: float) -> str:
        """Return where it stands at *now*, in its vendor's words."""
        phase = self.at(now).phase
        if self.created.vendor == "openai":
            return "in_progress" if phase == Phase.RUNNING else phase.value
        if phase.is_terminal:
            return "ended"
        return "canceling" if phase == Phase.CANCELLING else "in_progress"

    def share(self, ended: Ended) -> float:
        """Return how much of the work was done at the end."""
        return (ended.succeeded + ended.errored) / self.total if self.total else 0.0

    def done(self, moment: Moment) -> tuple[int, int]:
        """Return how many requests have succeeded and failed by *moment*."""
        if self.ended:
            return self.ended.succeeded, self.ended.errored
        count = self.finished(moment.done)
        failed = sum(position < count for position in self.answered.failed) if self.answered else 0
        return count - failed, failed

    def finished(self, share: float) -> int:
        """Return how many requests *share* of the work is."""
        return int(self.total * share + 1e-9)

    def fault(self, name: str) -> Any:
        """Return what the faults of its creation say about *name*; the last one wins."""
        said = [getattr(fault, name) for fault in self.created.faults if getattr(fault, name)]
        return said[-1] if said else None

    def remember(self, name: str, document: Any) -> None:
        """Write *document* as ``<name>.json``, then hold it in memory."""
        disk.write(self.folder / f"{name}.json", document)
        setattr(self, name, document)
        self._course = None
