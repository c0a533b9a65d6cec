"""One job at hand: its folder, its vendor, and what has happened so far."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_llmbatch._compat import Log
from airflow_provider_llmbatch.core.estimate import Estimate
from airflow_provider_llmbatch.core.manifest import SCHEMA, Event, Kind, Manifest, ShardState, fold
from airflow_provider_llmbatch.core.reader import reader
from airflow_provider_llmbatch.core.repairs import Repair
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.core.schemas import OutputSchema, output_schema
from airflow_provider_llmbatch.engine.prices import PriceList
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.sources import Source
from airflow_provider_llmbatch.storage.layout import JobFolder, Spec

if TYPE_CHECKING:
    from airflow_provider_llmbatch.engine.landing import Landing


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What only the asking task has: the question and the source.

    :ivar key: Column that names a record; ``None``: its position.
    :ivar dedupe: Ask requests that are the same, word for word, once.
    :ivar warm_cache: Let the first request fill the vendor's prompt cache before the others are sent.
    :ivar reuse_uri: Store of answers; what it holds is not asked, and what this job pays for goes there.
    :ivar reuse_ttl: Seconds after which an answer there is too old; ``None``: never.
    :raises InputError: ``reuse_uri`` with ``dedupe=False``, or with a ``reuse_ttl`` that is not above 0.
    """

    question: Question
    source: Source
    key: str | None = None
    dedupe: bool = True
    warm_cache: bool = False
    reuse_uri: str | None = None
    reuse_ttl: float | None = None

    def __post_init__(self) -> None:
        if self.reuse_uri and not self.dedupe:
            raise InputError(
                "dedupe=False asks equal requests each for an answer of its own, and reuse_uri never asks an equal "
                "request again. Nothing was sent. Drop one of the two."
            )
        if self.reuse_ttl is not None and (not self.reuse_uri or self.reuse_ttl <= 0):
            raise InputError("reuse_ttl must be above 0, and goes with reuse_uri. Nothing was sent.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How far this call of :func:`~airflow_provider_llmbatch.engine.advance` may go.

    :ivar max_rounds: Passes of questions, the first one included.
    :ivar max_failed_ratio: Share of rows, 0 to 1, that may be without a good answer. Zero good rows always fail.
    :ivar max_active_batches: Batches of this job at the vendor at once; ``None``: no limit of our own.
    :ivar max_enqueued_tokens: Tokens of this job's prompts in one of the vendor's queues at once, as estimated from
        their bytes; ``None``: no limit of our own.
    :ivar output_type: The type behind the question's output schema, where this process has it.
    :ivar repair: Makes another record of one whose question has to change; ``None`` gives it up.
    :ivar fallback_model: Model for rows that keep failing, without the vendor.
    :ivar max_cost_usd: What the whole job may cost, in US dollars; ``None``: no cap.
    :ivar patience: Seconds from a round's first submission until the job gives up waiting for it.
    """

    output_uri: str | None = None
    max_rounds: int = 3
    max_failed_ratio: float = 1.0
    max_active_batches: int | None = None
    max_enqueued_tokens: int | None = None
    output_type: Any = None
    repair: Repair | None = None
    fallback_model: str | None = None
    max_cost_usd: Decimal | None = None
    patience: float = 26 * 60 * 60


@dataclass(slots=True, kw_only=True)
class Job:
    """One job at hand.

    :ivar plan: ``None`` in a process that only goes on with what another one prepared.
    :ivar question: ``None`` where an earlier release did not write it down.
    :ivar context: Names that the question's templates may use besides ``record``.
    :ivar was_begun: Whether another process may have worked on it before.
    :ivar is_offline: The vendor is not called: this process only prepares.
    :ivar is_stopped: The task was killed: this process may collect what it paid for, and sends nothing more.
    :ivar stops: Rows, collected by this call, that only more budget or another key can help, by error code.
    :ivar landings: What this process made of the results of shards, by their names.
    :ivar prices: What its models cost.
    :ivar validate: Turns an answer's text into the value that was asked for.
    :ivar takes_text: Whether an answer is its text, and nothing more was asked for.
    :ivar checked: Open batches that the vendor has looked through and takes.
    :ivar names_seen: The custom ids that ended batches begin with, where those may be ours.
    :ivar estimates: What rounds were estimated to take, by their number, as far as this process asked.
    :ivar costs: What shards cost whose collection says nothing of it, by their names.
    :ivar clock: Epoch seconds; a test may bring its own, and its own *sleep*.
    """

    folder: JobFolder
    spec: Spec
    hook: BatchHook
    terms: Terms
    plan: Plan | None = None
    question: Question | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    log: Log = field(default_factory=lambda: logging.getLogger(__name__))
    was_begun: bool = True
    is_offline: bool = False
    is_stopped: bool = False
    manifest: Manifest = field(default_factory=Manifest)
    checked: set[str] = field(default_factory=set)
    names_seen: dict[str, list[str]] = field(default_factory=dict)
    stops: Counter[str] = field(default_factory=Counter)
    landings: dict[str, Landing] = field(default_factory=dict)
    estimates: dict[int, Estimate] = field(default_factory=dict)
    costs: dict[str, Decimal] = field(default_factory=dict)
    _scratch: TemporaryDirectory[str] | None = None
    prices: PriceList = field(init=False)
    validate: Callable[[str], Any] | None = field(init=False, default=None)
    takes_text: bool = field(init=False, default=True)
    _events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prices = PriceList(self.folder, self.hook.vendor, self.spec.created_at)
        if self.question is not None and self.question.output is not None:
            self.validate = reader(self._output_type(self.question.output), self.question.output)
        self.takes_text = self.validate is None and not (self.question is not None and self.question.tools)

    def _output_type(self, asked: OutputSchema) -> Any:
        """Return the task's type, unless it was edited since: then the schema that was sent is all there is."""
        mine = self.terms.output_type
        return mine if mine is not None and output_schema(mine).schema == asked.schema else None

    @property
    def scratch(self) -> Path:
        """A folder on this machine's own disk, for as long as this object lives."""
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="llmbatch-")
        return Path(self._scratch.name)

    def refresh(self) -> Manifest:
        """Read what has happened so far from the folder."""
        self._events = self.folder.events(self.spec.job_id)
        self.manifest = fold(self._events)
        return self.manifest

    def record(
        self,
        kind: Kind,
        shard: ShardState | None = None,
        *,
        round_: int | None = None,
        at: float | None = None,
        **facts: Any,
    ) -> bool:
        """Write down that something happened, by default now. Return ``False`` if it had been written before."""
        event = Event(
            schema=SCHEMA,
            job=self.spec.job_id,
            kind=kind,
            round=shard.round if shard else round_ or 1,
            shard=shard.shard.number if shard else None,
            part=shard.shard.part if shard else "",
            attempt=shard.attempt if shard else 1,
            at=self.clock() if at is None else at,
            **facts,
        )
        if not self.folder.record(event):
            self.refresh()
            return False
        self._events.append(event)
        self.manifest = fold(self._events)
        return True

    @property
    def known_batches(self) -> set[str]:
        """Every batch of this job that is written down, those that came to nothing included."""
        return {event.batch_id for event in self._events if event.batch_id}

    def current(self, shard: ShardState) -> ShardState:
        """Return *shard* as it stands after the last :meth:`record`."""
        return next(now for now in self.manifest.shards if now.name == shard.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing more can be done now.

    :ivar batch_ids: Our batches, to be watched.
    :ivar candidates: Batches that may be ours; they are watched too, and never cancelled.
    :ivar until: Come back when ``any`` or ``all`` of these have ended.
    :ivar wake_at: Come back at this time in any case (epoch seconds), or ``None``.
    :ivar give_up_at: The job's patience ends here (epoch seconds).
    """

    batch_ids: list[str]
    candidates: list[str]
    until: Literal["any", "all"]
    wake_at: float | None
    give_up_at: float


@dataclass(frozen=True, slots=True)
class Done:
    """Every record has its row, and the output is written."""

    summary: dict[str, Any]
