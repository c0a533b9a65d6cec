"""What has happened so far: the fold of write-once events.

Every event is one document under its own name, written whole and never changed:

    r1.prepared.json            round 1 is cut into shards; nothing of it was sent before this
    r4.reopened.json            somebody asked for the failed rows anew, from round 4 on
    r1.tidied.json              the vendor was asked to delete what it kept of round 1
    r1-00000.intent.json        before the paid call; or a *split*: the shard is asked in parts instead
    r1-00000.lost.json          the call ended without an answer; from here on it is only looked for
    r1-00000.submitted.json     the vendor's batch id
    r1-00000.void.json          this attempt created nothing that can run; the next intent is attempt 2
                                (a batch that shows up after all, late, still counts)
    r1-00000.2.intent.json
    r1-00000.2.ended.json       the terminal state as seen
    r1-00000.2.collected.json   the results file is complete
    r1-00001-500-749.intent.json   a part of shard 1: its requests of the records 500 to 749

A split lies under the name of an intent, so that of a shard's attempt there is one or the other, whoever writes. A part
is named by its records, which decide what is in it, so that whoever writes its request file writes the same bytes.

:func:`fold` turns any set of them into a legal state, so a crash between two writes needs no repair.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.exceptions import ManifestError

SCHEMA = 1
"""Version of every document. Documents of earlier versions stay readable."""

QUEUE_FULL = "queue full"
"""The reason of a void attempt that only met a full queue at the vendor."""

Kind = Literal["prepared", "reopened", "tidied", "split", "intent", "lost", "submitted", "void", "ended", "collected"]
Phase = Literal["ready", "unknown", "submitted", "ended", "collected"]
_PHASES: tuple[Literal["submitted", "ended", "collected"], ...] = ("submitted", "ended", "collected")
"""Those that an event of the same name begins, in order."""

_NAME = re.compile(
    r"^r(?P<round>\d+)(?:-(?P<shard>\d{5,})(?:-(?P<part>\d+-\d+))?(?:\.(?P<attempt>\d+))?)?\."
    r"(?P<kind>prepared|reopened|tidied|intent|lost|submitted|void|ended|collected)\.json$"
)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one results file holds, counted while it was collected.

    :ivar statuses: Rows by verdict; with ``missing`` they add up to the shard's count.
    :ivar stops: Rows that nothing but more budget or another key can help, by error code.
    :ivar thinking: Answers that show some of the model's reasoning.
    :ivar full_price: Answers of which the vendor says that they were not billed as part of a batch; left out: none.
    :ivar damaged: Lines that are not JSON or name no custom id.
    :ivar duplicated: Further lines for a request that already had one.
    :ivar foreign: Lines for requests that are not of this shard.
    """

    statuses: dict[str, int]
    stops: dict[str, int] = {}
    thinking: int = 0
    damaged: int = 0
    duplicated: int = 0
    foreign: int = 0
    full_price: int | msgspec.UnsetType = msgspec.UNSET


class Reuse(msgspec.Struct, frozen=True, kw_only=True):
    """What round 1 took from a store of answers, and where the answers of this job go.

    :ivar uri: The store.
    :ivar rows: Records that were not asked.
    :ivar saved_usd: What their answers cost once, each counted once; ``None``: one of them has no known price.
    :ivar thinking: Answers among them that show some of the model's reasoning.
    """

    uri: str
    rows: int
    saved_usd: str | None
    thinking: int = 0


_OF_ROUND = ("prepared", "reopened", "tidied")
_ESSENTIAL = {
    "prepared": "shards",
    "reopened": "by",
    "split": "shards",
    "submitted": "batch_id",
    "ended": "batch",
    "collected": "tally",
}


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. Which fields are set depends on ``kind``.

    :ivar job: The job's ten hex digits; an event of another job in the same folder is not ours.
    :ivar at: Epoch seconds.
    :ivar part: Which part of the shard, if that was split.
    :ivar shards: prepared: the round's shards; split: the parts, whose request files are written.
    :ivar queues: prepared, round 1: what each of the vendor's queues holds, as its admin endpoint says.
    :ivar until: intent: the paid call is given up by then; void: do not try again before this.
    :ivar limit: void: what the vendor's queue holds, in its own measure, as far as it said so.
    :ivar staged: intent: what was uploaded for it, by role.
    :ivar columns: prepared: the records' columns in the order they were first seen.
    :ivar records: prepared, round 1: how many records there are.
    :ivar record_files: prepared, round 1: how many files hold them.
    :ivar twins: prepared, round 1: records whose request is another's, word for word; they share its answer.
    :ivar is_warmed: prepared, round 1: the first shard is a single request that fills the vendor's prompt cache; the
        others wait until it is collected.
    :ivar reused: prepared, round 1: what came from ``reuse_uri``, if the task has one.
    :ivar by: reopened: the task instance that asked for it.
    :ivar cost_usd: collected: what the answers cost, where a cap made somebody add it up.
    """

    schema: int
    job: str
    kind: Kind
    round: int
    at: float
    shard: int | None = None
    part: str = ""
    attempt: int = 1
    until: float | None = None
    limit: int | None = None
    marker: dict[str, str] | None = None
    staged: dict[str, str] | None = None
    batch_id: str | None = None
    reason: str | None = None
    batch: Batch | None = None
    tally: Tally | None = None
    shards: list[Shard] | None = None
    columns: list[str] | None = None
    records: int = 0
    record_files: int = 0
    twins: int = 0
    queues: dict[str, int] = {}
    is_warmed: bool = False
    reused: Reuse | None = None
    by: str | None = None
    cost_usd: Decimal | None = None

    def __post_init__(self) -> None:
        if (self.kind in _OF_ROUND) != (self.shard is None):
            raise ValueError(f"a {self.kind!r} event is of a {'round' if self.shard is not None else 'shard'}")
        fact = _ESSENTIAL.get(self.kind)
        if fact and getattr(self, fact) is None:
            raise ValueError(f"a {self.kind!r} event without {fact!r} says nothing")


def name_of(event: Event) -> str:
    """Return the file name of *event* in ``events/``."""
    kind = "intent" if event.kind == "split" else event.kind
    return f"{stem(event.round, event.shard, event.attempt, event.part)}.{kind}.json"


def stem(round_: int, shard: int | None = None, attempt: int = 1, part: str = "") -> str:
    """Return how a name begins, by what it is about: ``r1``, ``r1-00000``, ``r1-00000.2``, ``r1-00000-500-749``."""
    if shard is None:
        return f"r{round_}"
    return f"r{round_}-{shard:05}" + (f"-{part}" if part else "") + ("" if attempt == 1 else f".{attempt}")


def is_event(name: str) -> bool:
    """Return whether *name* is an event's; anything else in the folder is left alone."""
    return _NAME.match(name) is not None


_decode = msgspec.json.Decoder(Event).decode
_version = msgspec.json.Decoder(dict[str, Any]).decode


def read_event(name: str, document: bytes) -> Event:
    """Decode one event.

    :raises ManifestError: It is damaged, lies under another event's name, or was written by a later release.
    """
    try:
        schema = _version(document).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise ManifestError(
                f"event {name!r} has schema {schema}; this release reads up to {SCHEMA}. Nothing was submitted. "
                "Install the release that wrote it, or a later one.",
                name=name,
            )
        event = _decode(document)
    except msgspec.MsgspecError as error:
        raise _damaged(name, str(error)) from None
    if name_of(event) != name:
        raise _damaged(name, f"it holds {name_of(event)!r}")
    return event


def _damaged(name: str, reason: str) -> ManifestError:
    return ManifestError(
        f"event {name!r} is there but cannot be read ({reason}). Nothing was submitted. Restore the file; deleting "
        "it would make a paid batch look as if it had never been sent.",
        name=name,
    )


@dataclass(slots=True)
class ShardState:
    """How far one shard of one round has come.

    :ivar attempt: The attempt that is under way, or the one to make next when ``phase`` is ``ready``.
    :ivar not_before: Epoch seconds before which a ``ready`` shard is not sent again.
    :ivar met_full_queue: The last attempt that met a full queue.
    :ivar alone: How often it met one with nothing of ours in it.
    :ivar limit: What the queue holds, as the vendor last said of this shard or of one that this is a part of.
    :ivar lost_at: When the paid call ended without an answer, if somebody lived to see it.
    """

    round: int
    shard: Shard
    phase: Phase = "ready"
    attempt: int = 1
    not_before: float = 0.0
    met_full_queue: Event | None = None
    alone: int = 0
    limit: int | None = None
    intent: Event | None = None
    lost_at: float | None = None
    batch_id: str | None = None
    submitted_at: float | None = None
    ended_at: float | None = None
    collected_at: float | None = None
    batch: Batch | None = None
    tally: Tally | None = None
    cost_usd: Decimal | None = None

    @property
    def name(self) -> str:
        """The stem of its files, without the attempt: ``r1-00000``."""
        return stem(self.round, self.shard.number, part=self.shard.part)

    @property
    def full_price(self) -> int:
        """Collected answers of which the vendor says that they were not billed as part of a batch."""
        count = self.tally.full_price if self.tally else 0
        return 0 if isinstance(count, msgspec.UnsetType) else count


@dataclass(slots=True)
class Round:
    """One pass of questions."""

    number: int
    prepared: Event
    shards: list[ShardState]
    is_tidied: bool = False

    @property
    def warming(self) -> ShardState | None:
        """The shard whose results the others wait for, if there is one."""
        first = self.shards[0] if self.prepared.is_warmed else None
        return first if first and first.phase != "collected" else None

    def in_phase(self, *phases: Phase) -> list[ShardState]:
        """Return its shards in one of *phases*, in order."""
        return [shard for shard in self.shards if shard.phase in phases]

    @property
    def is_collected(self) -> bool:
        """Whether every answer of this round is in our hands."""
        return all(shard.phase == "collected" for shard in self.shards)


@dataclass(slots=True)
class Manifest:
    """What has happened so far in one job.

    :ivar reopened: Who asked for the failed rows anew, by the round that began with it.
    """

    rounds: list[Round] = field(default_factory=list)
    reopened: dict[int, str] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many records there are."""
        return self.rounds[0].prepared.records if self.rounds else 0

    @property
    def reused(self) -> Reuse | None:
        """What came from a store of answers; ``None``: the task names none."""
        return self.rounds[0].prepared.reused if self.rounds else None

    @property
    def queues(self) -> dict[str, int]:
        """What each of the vendor's queues holds, as far as its admin endpoint told."""
        return self.rounds[0].prepared.queues if self.rounds else {}

    @property
    def base(self) -> int:
        """The round from which on rounds count against ``max_rounds``."""
        return max(self.reopened, default=1)

    @property
    def shards(self) -> list[ShardState]:
        """All shards of all rounds."""
        return [shard for round_ in self.rounds for shard in round_.shards]

    @property
    def open(self) -> list[ShardState]:
        """Shards whose batch is at the vendor and not known to have ended."""
        return [shard for shard in self.shards if shard.phase == "submitted"]

    @property
    def batch_ids(self) -> list[str]:
        """The batches that count, in the order of their rounds and shards."""
        return [shard.batch_id for shard in self.shards if shard.batch_id]


def fold(events: Iterable[Event]) -> Manifest:
    """Return the state that *events*, in any order, amount to."""
    of_rounds: dict[str, dict[int, Event]] = {kind: {} for kind in _OF_ROUND}
    attempts: _Attempts = {}
    for event in events:
        if event.shard is None:
            of_rounds[event.kind][event.round] = event
        else:
            of_shard = attempts.setdefault(stem(event.round, event.shard, part=event.part), {})
            of_shard.setdefault(event.attempt, {})[event.kind] = event
    rounds = [
        Round(
            number=number,
            prepared=prepared,
            shards=[state for shard in prepared.shards or [] for state in _states(ShardState(number, shard), attempts)],
            is_tidied=number in of_rounds["tidied"],
        )
        for number, prepared in sorted(of_rounds["prepared"].items())
    ]
    return Manifest(rounds, {number: event.by or "" for number, event in of_rounds["reopened"].items()})


_Attempts: TypeAlias = dict[str, dict[int, dict[str, Event]]]
"""Events by the shard's name, the attempt and their kind."""


def _states(state: ShardState, attempts: _Attempts) -> Iterator[ShardState]:
    """Yield how far a shard has come, or each of its parts if it was split."""
    of_shard = attempts.get(state.name, {})
    _go_on(state, of_shard)
    split = of_shard.get(state.attempt, {}).get("split")
    if split is None:
        yield state
        return
    for part in split.shards or []:
        yield from _states(ShardState(state.round, part, limit=state.limit), attempts)


def _go_on(state: ShardState, attempts: dict[int, dict[str, Event]]) -> None:
    """Bring a shard to where *attempts* have brought it."""
    if not attempts:
        return
    voids = [attempts[number]["void"] for number in sorted(attempts) if "void" in attempts[number]]
    full = [void for void in voids if void.reason == QUEUE_FULL]
    state.met_full_queue = full[-1] if full else None
    state.alone = sum(void.until is not None for void in full)
    state.limit = next((void.limit for void in reversed(full) if void.limit), state.limit)
    latest = max(attempts)
    seen = attempts[latest]
    if "void" in seen and ("submitted" not in seen or "ended" in seen):
        state.attempt = latest + 1
        state.not_before = seen["void"].until or 0.0
        return
    state.attempt = latest
    state.intent = seen.get("intent")
    state.phase = "unknown"
    if "lost" in seen:
        state.lost_at = seen["lost"].at
    for phase in _PHASES:
        if phase in seen:
            state.phase = phase
            state.batch_id = seen[phase].batch_id or state.batch_id
    if "submitted" in seen:
        state.submitted_at = seen["submitted"].at
    if "ended" in seen:
        state.batch, state.ended_at = seen["ended"].batch, seen["ended"].at
    if "collected" in seen:
        state.tally, state.collected_at = seen["collected"].tally, seen["collected"].at
        state.cost_usd = seen["collected"].cost_usd
