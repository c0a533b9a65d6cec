"""What every vendor can do, in words that are no vendor's.

A third vendor subclasses :class:`BatchHook` in one file and is held to ``tests/contract`` by one line in
``vendors.py``. Reading calls are written once, as generators that yield the call to make and receive the answer's
bytes: :meth:`BatchHook.run` drives them in a worker, :meth:`BatchHook.arun` in the triggerer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

import msgspec

from airflow_provider_llmbatch._compat import BaseHook
from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Ask, Change, Request
from airflow_provider_llmbatch.core.results import Remedy, Result
from airflow_provider_llmbatch.core.shards import Shard
from airflow_provider_llmbatch.exceptions import InputError, NotFoundError, UnavailableError, VendorError
from airflow_provider_llmbatch.hooks.calls import Call, Marker, Page, Sighting, Steps
from airflow_provider_llmbatch.hooks.settings import Settings, read_settings

T = TypeVar("T")


class BatchHook(BaseHook, ABC):
    """Wrap one vendor's batch API.

    :param conn_id: Airflow connection with the API key in *password*. Default: the vendor's usual one.
    """

    conn_name_attr = "conn_id"
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    vendor: ClassVar[str]
    """The part before the colon in ``model``; also the vendor's id in ``genai-prices`` and ``gen_ai.provider.name``."""
    page_size: ClassVar[int]
    """Batches that one list call returns at most."""
    clock_slack: ClassVar[float] = 300.0
    """Seconds by which our clock and the vendor's may differ in a look-up."""
    list_lag: ClassVar[float] = 30.0
    """Seconds after which a batch that was created must show in the list. Undocumented; generous (FACTS §1.7)."""

    LIMITS: ClassVar[Limits]

    def __init__(self, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id or self.default_conn_name

    # -- connection ------------------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """The connection, read once.

        :raises InputError: There is no such connection, or it holds no key.
        """
        return read_settings(self)

    @cached_property
    def limits(self) -> Limits:
        """What one batch may hold, with the connection's own lower limits applied."""
        return self.settings.lower(self.LIMITS)

    @property
    def can_list(self) -> bool:
        """Whether the service lists its batches: without a list, a lost answer cannot be looked for."""
        return self.settings.list_mode != "none"

    @property
    def create_timeout(self) -> float:
        """Seconds after which a create call that has no answer is given up: the client's own timeout."""
        return self.settings.timeout

    def test_connection(self) -> tuple[bool, str]:
        """Answer the *Test* button of Airflow's connection form."""
        try:
            self.preflight()
        except (VendorError, InputError) as error:
            return False, str(error)
        return True, f"{self.vendor} accepted the key."

    def preflight(self) -> None:
        """Make one free call that proves the key, before anything is sent. Where there is no list, there is none.

        :raises CredentialError: The vendor refuses the key.
        """
        if self.can_list:
            self.run(self.list_page(None, limit=1))

    # -- reading, shared by worker and triggerer --------------------------------------------------------------

    def run(self, steps: Steps[T]) -> T:
        """Carry out *steps* here and now."""
        try:
            call = next(steps)
            while True:
                try:
                    reply = self.get(call)
                except VendorError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except msgspec.DecodeError:
            raise unreadable(self.vendor, f"GET {call.path}") from None

    async def arun(self, steps: Steps[T], client: Any) -> T:
        """Carry out *steps* on the event loop, with a client from :meth:`async_client`."""
        try:
            call = next(steps)
            while True:
                try:
                    reply = await self.aget(call, client)
                except VendorError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except msgspec.DecodeError:
            raise unreadable(self.vendor, f"GET {call.path}") from None

    def look(self, batch_ids: Collection[str]) -> Steps[dict[str, Batch]]:
        """Return how the batches *batch_ids* stand. One that the vendor does not show (yet) is left out.

        Several are looked up in the list, 100 (OpenAI) or 1,000 (Anthropic) to a call, down to one page past the last
        that was found; what the list does not show is asked for by itself.
        """
        wanted = set(batch_ids)
        found: dict[str, Batch] = {}
        if len(wanted) > 1 and self.can_list:
            after: str | None = None
            while wanted:
                page = yield from self.list_page(after)
                hits = {batch.batch_id: batch for batch in page.batches if batch.batch_id in wanted}
                found |= hits
                wanted -= hits.keys()
                after = page.after
                if after is None or not hits:
                    break
        for batch_id in sorted(wanted):
            try:
                found[batch_id] = self.read_batch((yield self.batch_call(batch_id)))
            except NotFoundError:
                continue
        return found

    def batches_since(self, since: float) -> Steps[list[Batch]]:
        """Return every batch that was created at or after *since*, over all pages, newest first."""
        found: list[Batch] = []
        after: str | None = None
        while True:
            page = yield from self.list_page(after)
            young = [batch for batch in page.batches if batch.created_at is None or batch.created_at >= since]
            found += young
            after = page.after
            if after is None or len(young) < len(page.batches):
                return found

    def find(self, marker: Marker, known: Collection[str] = ()) -> Steps[Sighting]:
        """Look for the batch of a submission whose answer was lost.

        Vendors with metadata answer for certain. Without metadata, every batch of that time and size is a candidate.

        :param known: Batches whose story is written down already; they are not looked for.
        """
        since = marker.since - self.clock_slack
        batches = [batch for batch in (yield from self.batches_since(since)) if batch.batch_id not in known]
        wanted = marker.as_metadata()
        for batch in batches:
            if wanted.items() <= batch.marker.items():
                return Sighting(certain=batch)
        if self.has_metadata:
            return Sighting()
        return Sighting(candidates=[batch for batch in batches if batch.total == marker.count])

    def list_page(self, after: str | None, limit: int | None = None) -> Steps[Page]:
        """Return one page of the vendor's list, newest first."""
        return self.read_page((yield self.list_call(after, limit or self.page_size)))

    # -- what a vendor brings ----------------------------------------------------------------------------------

    has_metadata: ClassVar[bool]
    """Whether the vendor keeps our marker with the batch."""
    marks_cache: ClassVar[bool] = False
    """Whether :meth:`encode` marks a request for the vendor's prompt cache. Elsewhere that needs no marks."""

    @abstractmethod
    def get(self, call: Call) -> bytes:
        """Make a reading call and return the answer's bytes.

        :raises VendorError: The vendor, or the way to it, said no.
        """

    @abstractmethod
    async def aget(self, call: Call, client: Any) -> bytes:
        """Do what :meth:`get` does without blocking the event loop."""

    @abstractmethod
    def async_client(self) -> Any:
        """Return a new async context manager that :meth:`aget` takes. It blocks: call it in a thread."""

    @abstractmethod
    def list_call(self, after: str | None, limit: int) -> Call:
        """Return the call for one page of the list."""

    @abstractmethod
    def read_page(self, reply: bytes) -> Page:
        """Decode one page of the list."""

    @abstractmethod
    def batch_call(self, batch_id: str) -> Call:
        """Return the call for one batch."""

    @abstractmethod
    def read_batch(self, reply: bytes) -> Batch:
        """Decode one batch."""

    @abstractmethod
    def encode(self, custom_id: str, ask: Ask, endpoint: str | None) -> Request:
        """Return *ask* in the vendor's words.

        :param endpoint: The vendor's path, or ``None`` to take the one that the body is made for.
        :raises InputError: The vendor cannot be asked this.
        """

    @abstractmethod
    def revise(self, custom_id: str, line: bytes, change: Change, lane: str = "") -> Request:
        """Return the request *line* under another custom id, changed as *change* says and untouched otherwise.

        :param lane: That of the shard which *line* comes from.
        """

    def model_of(self, line: bytes) -> str:
        """Return the model that the request *line* asks."""
        return ""

    token_factor: ClassVar[float] = 1.0
    """Tokens that the vendor makes of a text, to one of OpenAI's ``o200k``; about."""

    def body_of(self, line: bytes) -> Mapping[str, Any]:
        """Return what the request *line* asks, in the vendor's words."""
        return {}

    def bound_of(self, line: bytes) -> int | None:
        """Return how many tokens of output the request *line* may cost; 0: it has none; ``None``: no bound is set."""
        return self.cap_of(line)

    def cache_shortfall(self, line: bytes) -> str | None:
        """Return why nothing of *line* will be cached, without its text; ``None``: as far as we know, it will."""
        return None

    def cap_of(self, line: bytes) -> int | None:
        """Return the upper bound of the answer that the request *line* sets, in tokens; ``None``: it sets none."""
        return None

    def largest_answer(self, model: str) -> Steps[int | None]:
        """Return the most tokens that *model* may answer with, or ``None`` where the vendor does not tell."""
        yield from ()
        return None

    def stage(self, path: Path, name: str) -> dict[str, str]:
        """Bring the request file to the vendor, where that is a call of its own. It costs nothing and starts nothing.

        :param path: Local request file; it is streamed.
        :param name: What the vendor shall call it.
        :return: The vendor's ids by role, for :meth:`create`.
        """
        return {}

    def find_staged(self, name: str, size: int) -> Steps[dict[str, str] | None]:
        """Return what :meth:`stage` would, if an earlier process had already brought the file; else ``None``."""
        yield from ()
        return None

    @abstractmethod
    def create(self, path: Path, staged: dict[str, str], marker: Marker) -> Batch:
        """Start one batch. **This is the call that costs money**; it is made once, without the SDK's retries.

        :param path: Local request file; it is streamed.
        :param staged: What :meth:`stage` returned.
        :raises RejectedError: A clear no. Nothing runs, nothing is billed.
        :raises BusyError: Not now. Nothing runs, nothing is billed.
        :raises UnavailableError: No clear answer. **The batch may exist**: call :meth:`find` before asking again.
        """

    @abstractmethod
    def cancel(self, batch_id: str) -> None:
        """Ask for a batch to be stopped and return at once. What is finished stays, and stays billed."""

    @abstractmethod
    def download(self, batch: Batch, path: Path) -> None:
        """Write everything the vendor has for *batch* to *path*: good and bad lines, byte for byte.

        :raises TransferError: It came short of the announced size, however often it was tried.
        """

    def first_lines(self, batch: Batch, count: int) -> list[bytes]:
        """Return the first result lines of an ended batch, *count* at most.

        A vendor that streams its results says so by a method of its own: whose a batch is, its first lines tell.
        """
        with TemporaryDirectory(prefix="llmbatch-") as scratch:
            path = Path(scratch) / "results.jsonl"
            self.download(batch, path)
            with path.open("rb") as file:
                return list(islice(file, count))

    @staticmethod
    def read_plain(line: bytes) -> tuple[str, Result] | None:
        """Return the custom id and the result of a line that is an ordinary good answer; ``None``: :meth:`parse` it.

        A vendor may have a quick way to read those: most of a million lines are.
        """
        return None

    @abstractmethod
    def parse(self, line: bytes) -> Result:
        """Read one result line."""

    @abstractmethod
    def remedy(self, code: str | None, status: int | None = None) -> Remedy:
        """Return what would help a request that failed with *code* (and HTTP *status*)."""

    def queue_of(self, shard: Shard) -> str:
        """Return which of the vendor's queues a batch of *shard* waits in; ``""``: there is only one."""
        return ""

    def load_of(self, shard: Shard) -> int:
        """Return how much of that queue it takes, in the vendor's own measure: here requests."""
        return shard.count

    refuses_at_once: ClassVar[bool] = True
    """Whether a full queue shows in the answer to *create*, and not in a batch that fails later."""

    def read_queues(self) -> dict[str, int]:
        """Return what each queue holds, by :meth:`queue_of`, in the measure of :meth:`load_of`.

        It takes the connection's ``admin_key``. A vendor without such an endpoint has nothing to tell.

        :raises LLMBatchError: It cannot be read.
        """
        return {}

    def is_queue_full(self, batch: Batch) -> bool:
        """Return whether a failed batch only found the vendor's queue full: put it back and wait."""
        return False

    def cleanup(self, batch: Batch) -> None:
        """Delete what the vendor keeps of *batch*. Call it only once our copy is durable."""


def unreadable(vendor: str, what: str) -> UnavailableError:
    """Return the error for an answer that was damaged on its way: the call may well have been carried out."""
    return UnavailableError(f"{vendor}: the answer to {what} was damaged on its way and cannot be read.")
