"""What lies where in a job's folder; ``try_number`` is in no path, so that every attempt finds the last one's work.

job.json                       whose job it is and what it was begun with (written once)
question.json                  what is asked of every record: templates, parameters, schema, tools
records/00000.jsonl            the records in their order, so that the source is never read twice
twins.jsonl                    records whose request is another's, word for word
reused.jsonl                   records that were not asked, each with the columns of an answer that was kept
requests/r1-00000.jsonl        the exact requests
requests/r1-00000-0-499.jsonl  a part of them, if the shard was split
events/…                       what has happened (core/manifest.py)
results/r1-00000.jsonl         what came back, byte for byte
failed/rows.jsonl              the rows that are not `succeeded`
estimate.json                  what round 1 will take, before anything of it was sent
prices/00000.json              what the models cost that answered; written with the first output
summary.json                   what the task returned, and what each round and batch took
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from airflow_provider_llmbatch.core.cost import PriceBook
from airflow_provider_llmbatch.core.estimate import Estimate
from airflow_provider_llmbatch.core.manifest import (
    SCHEMA,
    Event,
    ShardState,
    is_event,
    name_of,
    read_event,
)
from airflow_provider_llmbatch.core.requests import Question
from airflow_provider_llmbatch.exceptions import ManifestError
from airflow_provider_llmbatch.storage.folder import Folder, open_folder

SPEC = "job.json"
QUESTION = "question.json"
SUMMARY = "summary.json"
PRICES = "prices"
ESTIMATE = "estimate.json"
FAILED = "failed/rows.jsonl"
SUPERSEDED = "superseded"


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: everything that a later process needs to go on without the DAG. It holds no prompt text.

    :ivar job_id: The ten hex digits that mark everything of this job at the vendor.
    :ivar fingerprint: Digest of the question and the source's identity.
    :ivar model: The model's name without the vendor; ``""`` where the records bring theirs.
    :ivar generation: How often this very question was asked here before and moved aside.
    :ivar lookup_since: Epoch seconds from which on a lost earlier attempt may have sent something; ``None``: this is
        the first attempt.
    :ivar created_at: Epoch seconds.
    :ivar max_cost_usd: The task's cap on what the job may cost, as a decimal; left out: there is none.
    """

    schema: int = SCHEMA
    job_id: str
    fingerprint: str
    vendor: str
    model: str
    conn_id: str
    endpoint: str | None
    source: dict[str, Any]
    key: str | None
    output_uri: str | None
    max_rounds: int
    max_failed_ratio: float
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    generation: int
    created_at: float
    lookup_since: float | None = None
    max_cost_usd: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def cap(self) -> Decimal | None:
        """What the job may cost, in US dollars, as the task that began it says."""
        return Decimal(self.max_cost_usd) if isinstance(self.max_cost_usd, str) else None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """``question.json``."""

    schema: int = SCHEMA
    question: Question


class _Prices(msgspec.Struct, frozen=True, kw_only=True):
    """``prices/00000.json``: by model."""

    schema: int = SCHEMA
    books: dict[str, PriceBook]


D = TypeVar("D", Spec, _Asked, _Prices, Estimate)


def job_uri(base_uri: str, *, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return where the job of one task instance lies."""
    parts = [base_uri.rstrip("/"), *map(_quoted, (dag_id, run_id, task_id))]
    return "/".join([*parts, str(map_index)] if map_index >= 0 else parts)


def _quoted(part: str) -> str:
    """Return *part* as one step of a path; Airflow takes even ``..`` for an id."""
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe=":+~")


class JobFolder:
    """A job's folder, by the nouns of the layout."""

    def __init__(self, uri: str) -> None:
        self.files: Folder = open_folder(uri)
        self.uri = self.files.uri

    def spec(self) -> Spec | None:
        """Return what was asked, or ``None`` if nothing was.

        :raises ManifestError: ``job.json`` is there and cannot be read.
        """
        return self._document(
            SPEC,
            Spec,
            "Restore the file. If it is lost, move the folder aside by hand and clear the task: it then looks for what "
            "is paid for at the vendor before it sends anything.",
        )

    def question(self) -> Question | None:
        """Return what is asked of every record, or ``None`` if that was not written down.

        :raises ManifestError: ``question.json`` is there and cannot be read.
        """
        asked = self._document(QUESTION, _Asked, "Restore the file.")
        return asked.question if asked else None

    def _document(self, name: str, kind: type[D], advice: str) -> D | None:
        document = self.files.read(name)
        if document is None:
            return None
        try:
            found = msgspec.json.decode(document, type=kind)
        except msgspec.MsgspecError as error:
            raise ManifestError(
                f"{self.files.uri_of(name)!r} is there but cannot be read ({error}). Nothing was submitted. {advice}",
                uri=self.uri,
            ) from None
        if found.schema > SCHEMA:
            raise ManifestError(
                f"{self.files.uri_of(name)!r} has schema {found.schema}; this release reads up to {SCHEMA}. Nothing "
                "was submitted. Install the release that wrote it, or a later one.",
                uri=self.uri,
            )
        return found

    def ask(self, question: Question) -> None:
        """Write *question* down once, for later processes that do not have the DAG."""
        self.files.create(QUESTION, msgspec.json.encode(_Asked(question=question)))

    def prices(self) -> dict[str, PriceBook]:
        """Return what the models cost whose answers were priced before.

        :raises ManifestError: Such a file is there and cannot be read.
        """
        found: dict[str, PriceBook] = {}
        for name in self.files.names(PRICES):
            kept = self._document(f"{PRICES}/{name}", _Prices, "Restore the file, or delete it for prices of today.")
            found |= kept.books if kept else {}
        return found

    def keep_prices(self, books: dict[str, PriceBook]) -> None:
        """Write *books* down once, so that these models keep their prices in this job."""
        number = len(self.files.names(PRICES))
        self.files.create(f"{PRICES}/{number:05}.json", msgspec.json.encode(_Prices(books=books)))

    def estimate(self) -> Estimate | None:
        """Return what the first round was estimated to take, or ``None`` if that was not written down.

        :raises ManifestError: ``estimate.json`` is there and cannot be read.
        """
        return self._document(ESTIMATE, Estimate, "Restore the file, or delete it: it is then made again.")

    def expect(self, estimate: Estimate) -> None:
        """Write *estimate* down once: what was known before anything was sent."""
        self.files.create(ESTIMATE, msgspec.json.format(msgspec.json.encode(estimate), indent=2))

    def begin(self, spec: Spec) -> Spec:
        """Write *spec* once and return the one that holds: another attempt may have been faster."""
        self.files.create(SPEC, msgspec.json.encode(spec))
        return self.spec() or spec

    def events(self, job_id: str) -> list[Event]:
        """Return everything that was written down of the job *job_id*.

        :raises ManifestError: An event is there and cannot be read.
        """
        names = [name for name in self.files.names("events") if is_event(name)]
        documents = self.files.read_all([f"events/{name}" for name in names])
        events = [
            read_event(name, self._there(name, document)) for name, document in zip(names, documents, strict=True)
        ]
        return [event for event in events if event.job == job_id]

    def _there(self, name: str, document: bytes | None) -> bytes:
        if document is None:
            raise ManifestError(f"event {name!r} of {self.uri!r} vanished while it was read. Nothing was submitted.")
        return document

    def record(self, event: Event) -> bool:
        """Write *event*. Return ``False`` if it had been written before, by whomever; the first one holds."""
        return self.files.create(f"events/{name_of(event)}", msgspec.json.encode(event))

    def supersede(self) -> str:
        """Move everything aside, so that a question starts afresh; return where it lies now."""
        target = f"{self._superseded_uri()}/{len(open_folder(self._superseded_uri()).names('')):04}"
        self.files.move(target, last=SPEC)
        self.files = open_folder(self.uri)
        return target

    def superseded(self) -> list[Spec]:
        """Return what was asked here before and moved aside."""
        aside = open_folder(self._superseded_uri())
        found = (JobFolder(aside.uri_of(name)).spec() for name in aside.names(""))
        return [spec for spec in found if spec is not None]

    def is_moving(self, spec: Spec) -> bool:
        """Return whether moving *spec* aside was cut short: what is left here is not all that happened."""
        return any(old.job_id == spec.job_id for old in self.superseded())

    def _superseded_uri(self) -> str:
        parent, _, name = self.uri.rpartition("/")
        return f"{parent}/{SUPERSEDED}/{name}"

    @staticmethod
    def records_name(number: int) -> str:
        """Return the file *number* of the records."""
        return f"records/{number:05}.jsonl"

    @staticmethod
    def requests_name(shard: ShardState) -> str:
        """Return the file of *shard*'s requests."""
        return f"requests/{shard.name}.jsonl"

    @staticmethod
    def results_name(shard: ShardState) -> str:
        """Return the file of *shard*'s results."""
        return f"results/{shard.name}.jsonl"
