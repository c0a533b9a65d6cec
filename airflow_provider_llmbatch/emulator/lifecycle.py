"""How a batch moves: a pure function of what is known about it and of the time.

    validating ─┬─> failed
                └─> running ─> finalizing ─> completed
                       ├────────────────────> expired      the window closed first
                       └─> cancelling ──────> cancelled

OpenAI shows all of it; of Anthropic's, ``validating`` and ``finalizing`` take no time and every end is ``ended``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

NEVER = float("inf")


class Phase(StrEnum):
    """Where a batch stands."""

    VALIDATING = "validating"
    FAILED = "failed"
    RUNNING = "running"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing moves any more."""
        return self in _TERMINAL


_TERMINAL = {Phase.FAILED, Phase.COMPLETED, Phase.EXPIRED, Phase.CANCELLED}


class Moment(NamedTuple):
    """A phase, when it began (emulated seconds), and how much of the work is done by then."""

    phase: Phase
    since: float
    done: float
    """Share of the requests that have been answered, 0 to 1."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the course of a batch.  Times are emulated seconds; ``None`` means *not yet*."""

    born: float
    validate: float
    run: float
    finalize: float
    window: float
    cancel: float
    halt: float = 1.0
    """Share of the work after which nothing moves until the window closes; 1: none of it stops."""
    stuck: str = ""
    """Phase that is never left, not even when the window closes."""
    checked: float | None = None
    """When the requests had been validated."""
    answered: float | None = None
    """When the answers had been written.  Work that is slower than planned delays a phase, never fails it."""
    invalid: bool = False
    cancelled: float | None = None

    @property
    def started(self) -> float:
        """When the first request is taken up."""
        return self.born + self.validate

    @property
    def closes(self) -> float:
        """When the completion window ends."""
        return self.born + self.window

    def progress(self, now: float) -> float:
        """Return the share of the requests answered by *now*."""
        if now < self.started:
            return 0.0
        return min(self.halt, (now - self.started) / self.run if self.run else 1.0)

    def at(self, now: float) -> Moment:
        """Return where the batch stands at *now*."""
        if self.cancelled is not None:
            return self._cancelling(now)
        checked = NEVER if self.stuck == Phase.VALIDATING else _reached(self.started, self.checked)
        if now < checked:
            return Moment(Phase.VALIDATING, self.born, 0.0)
        if self.invalid:
            return Moment(Phase.FAILED, checked, 0.0)
        return self._running(now)

    def _running(self, now: float) -> Moment:
        if self.stuck == Phase.RUNNING:
            return Moment(Phase.RUNNING, self.started, self.progress(now) if self.halt < 1 else 0.0)
        planned = self.started + self.run if self.halt >= 1 else NEVER
        if planned > self.closes:
            expired = _reached(self.closes, self.answered)
            phase = Phase.EXPIRED if now >= expired else Phase.RUNNING
            since = expired if now >= expired else self.started
            return Moment(phase, since, self.progress(min(now, self.closes)))
        answered = _reached(planned, self.answered)
        if now < answered:
            return Moment(Phase.RUNNING, self.started, self.progress(now))
        if now < answered + self.finalize or self.stuck == Phase.FINALIZING:
            return Moment(Phase.FINALIZING, answered, 1.0)
        return Moment(Phase.COMPLETED, answered + self.finalize, 1.0)

    def _cancelling(self, now: float) -> Moment:
        assert self.cancelled is not None  # noqa: S101
        done = 0.0 if self.stuck == Phase.RUNNING and self.halt >= 1 else self.progress(self.cancelled)
        ended = _reached(self.cancelled + self.cancel, self.answered)
        if now < ended or self.stuck == Phase.CANCELLING:
            return Moment(Phase.CANCELLING, self.cancelled, done)
        return Moment(Phase.CANCELLED, ended, done)


def _reached(planned: float, done: float | None) -> float:
    """Return when a phase is over: as planned, unless the work behind it took longer."""
    return NEVER if done is None else max(planned, done)
