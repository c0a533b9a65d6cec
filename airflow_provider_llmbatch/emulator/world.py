"""The state of the emulated world: clock, files, batches and books, and the work that is going on."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from airflow_provider_llmbatch.emulator import disk, work
from airflow_provider_llmbatch.emulator.batch import Answered, Batch, Checked, Created, Ended
from airflow_provider_llmbatch.emulator.books import Books
from airflow_provider_llmbatch.emulator.clock import Clock, Leg
from airflow_provider_llmbatch.emulator.faults import Fault, Faults
from airflow_provider_llmbatch.emulator.files import Files
from airflow_provider_llmbatch.emulator.ids import make_id
from airflow_provider_llmbatch.emulator.lifecycle import Course, Moment
from airflow_provider_llmbatch.emulator.limits import Limits
from airflow_provider_llmbatch.emulator.options import Options, make_options
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from airflow_provider_llmbatch.emulator.wire import Vendor
from airflow_provider_llmbatch.emulator.work import Desk

_log = logging.getLogger(__name__)
_KIND: dict[Vendor, str] = {"openai": "batch", "anthropic": "msgbatch"}
_STATUS_NAMES = {"in_progress": "running", "canceling": "cancelling"}


class World:
    """Everything that the emulator remembers.  It lives on one event loop; only the work leaves it.

    :param folder: Where the state is kept across restarts.  ``None``: a temporary folder, removed at the end.
    """

    def __init__(self, options: Options, folder: Path | None = None) -> None:
        self.options = options
        self.folder = folder or Path(tempfile.mkdtemp(prefix="llmbatch-emulator-"))
        self._clean_up = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        if folder:
            self._clean_up.detach()
        self.desks: dict[Vendor, Desk] = {}
        self._open()

    def _open(self) -> None:
        """Read the state from its folder; an empty folder is a new world."""
        (self.folder / "batches").mkdir(parents=True, exist_ok=True)
        # Uploads that a killed process had begun belong to nobody.
        shutil.rmtree(self.folder / "incoming", ignore_errors=True)
        (self.folder / "incoming").mkdir()
        self.clock = Clock(self.options.speed, disk.lines(self.folder / "clock.jsonl", Leg))
        self._note_clock()
        self.faults = Faults(self.options.seed, self.options.faults)
        self.files = Files(self.folder / "files", self.clock)
        self.books = Books(self.folder)
        self.limits = Limits(self.clock)
        self.cache = PromptCache()
        self.asked: set[str] = set()
        self.batches: dict[str, Batch] = {}
        self.stopping = threading.Event()
        self.settling = asyncio.Lock()
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emulator-work")
        self.closing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emulator-closing")
        found = [(disk.read(path, Created), path.parent) for path in self.folder.glob("batches/*/created.json")]
        for created, path in sorted(((c, p) for c, p in found if c), key=lambda pair: pair[0].number):
            self.batches[created.id] = Batch(path, created)
        self.open = {batch_id: batch for batch_id, batch in self.batches.items() if not batch.ended}
        self.counts = {vendor: sum(b.created.vendor == vendor for b in self.batches.values()) for vendor in _KIND}

    def _note_clock(self) -> None:
        temporary = self.folder / ".clock.tmp"
        temporary.write_bytes(b"".join(msgspec.json.encode(leg) + b"\n" for leg in self.clock.legs))
        temporary.replace(self.folder / "clock.jsonl")

    async def start(self) -> None:
        """Take up the work that an earlier process left."""
        for batch in self.batches.values():
            if batch.answered is None:
                self._put_to_work(batch)

    async def stop(self) -> None:
        """Let go of everything; what a state folder holds is taken up by the next process."""
        await self._lay_down()
        self._clean_up()

    async def _lay_down(self) -> None:
        """Stop the work that is going on, in the middle if need be."""
        self.stopping.set()
        for batch in self.batches.values():
            if batch.task:
                batch.task.cancel()
        for pool in (self.pool, self.closing):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    async def reset(self) -> None:
        """Begin a new world, with the same options."""
        await self._lay_down()
        await asyncio.to_thread(shutil.rmtree, self.folder)
        self._open()

    async def advance(self, seconds: float) -> None:
        """Skip *seconds* of emulated time, and finish the work that they would have finished."""
        await self.finish_work()
        self.clock.advance(seconds)
        self._note_clock()
        await self.settle()

    async def finish_work(self) -> None:
        """Wait until all requests that have been accepted are answered."""
        await asyncio.gather(*(batch.task for batch in self.batches.values() if batch.task))

    def change(self, changes: dict[str, Any]) -> None:
        """Change options; batches that exist keep the durations they were born with.

        :raises ValueError: An unknown option, or a bad value.
        """
        options = make_options(changes, self.options)
        if options.speed != self.options.speed:
            self.clock.set_speed(options.speed)
            self._note_clock()
        self.options = options
        if "faults" in changes:
            self.faults = Faults(options.seed, options.faults)

    # Batches

    def new_batch(self, vendor: Vendor, *, faults: list[Fault], sha256: str, **details: Any) -> Batch:
        """Make the folder of a new batch.  It is not accepted before :meth:`accept`.

        Its id follows from what it asks, and from how often that was asked before, so that the same batches have
        the same ids in whatever order they come.
        """
        self.counts[vendor] += 1
        ids = (make_id(_KIND[vendor], self.options.seed, sha256, before) for before in itertools.count())
        batch_id = next(each for each in ids if not (self.folder / "batches" / each).exists())
        folder = self.folder / "batches" / batch_id
        folder.mkdir()
        now = self.clock.now()
        created = Created(
            id=batch_id,
            vendor=vendor,
            number=sum(self.counts.values()),
            created_at=time.time(),
            watch=self.clock.watch(),
            course=self._course(vendor, now, faults),
            sha256=sha256,
            faults=faults,
            total=details.pop("total", 0),
            details=details,
        )
        return Batch(folder, created)

    def _course(self, vendor: Vendor, now: float, faults: list[Fault]) -> Course:
        """Plan a batch: a tenth of its time each for validating and finalizing, where the vendor has these."""
        options = self.options
        tenth = options.batch_seconds / 10 if vendor == "openai" else 0.0
        halts = [fault.expire for fault in faults if fault.expire is not None]
        stuck = next((fault.stuck for fault in faults if fault.stuck), "")
        return Course(
            born=now,
            validate=tenth,
            run=options.batch_seconds - 2 * tenth,
            finalize=tenth,
            window=options.window_seconds,
            cancel=options.cancel_seconds,
            halt=halts[-1] if halts else 1.0,
            stuck=_STATUS_NAMES.get(stuck, stuck),
        )

    def accept(self, batch: Batch) -> None:
        """Make *batch* known, durably, and begin to answer its requests."""
        disk.write(batch.folder / "created.json", batch.created)
        self.batches[batch.id] = self.open[batch.id] = batch
        self._put_to_work(batch)

    def _put_to_work(self, batch: Batch) -> None:
        batch.task = asyncio.create_task(self._work(batch), name=f"answer {batch.id}")
        batch.task.add_done_callback(_report)

    async def _work(self, batch: Batch) -> None:
        desk = self.desks[batch.created.vendor]
        run = asyncio.get_running_loop().run_in_executor
        if batch.checked is None:
            checked = await run(self.pool, desk.check, batch)
            batch.remember("checked", self._queue(batch, checked))
        failed: list[int] = []
        assert batch.checked is not None  # noqa: S101
        if not batch.checked.errors:
            failed = await run(self.pool, work.answer_all, batch, desk, self.options.seed, self.stopping)
        batch.remember("answered", Answered(at=self._done_at(batch), failed=failed))
        batch.task = None

    def _done_at(self, batch: Batch) -> float:
        """Return when the work counts as done: a clock that stands still does not wait for it."""
        return self.clock.now() if self.options.speed else batch.created.course.born

    def _queue(self, batch: Batch, checked: Checked) -> Checked:
        """Fail *batch* if its prompts do not fit into the queue of its model (FACTS §1.2)."""
        limit = self.options.queue_of(checked.model)
        checked.at = self._done_at(batch)
        if limit is None or checked.errors or checked.tokens + self._enqueued(checked.model) <= limit:
            return checked
        text = (
            f"Enqueued token limit reached for {checked.model} in organization org-emulator. Limit: {limit:,} "
            "enqueued tokens. Please try again once some in_progress batches have been completed."
        )
        checked.errors = [{"code": "token_limit_exceeded", "message": text, "param": None, "line": None}]
        return checked

    def _enqueued(self, model: str | None) -> int:
        return sum(b.checked.tokens for b in self.live("openai") if b.checked and b.checked.model == model)

    def live(self, vendor: Vendor) -> Iterator[Batch]:
        """Yield the batches that have not ended."""
        now = self.clock.now()
        for batch in self.open.values():
            if batch.created.vendor == vendor and not batch.at(now).phase.is_terminal:
                yield batch

    def visible(self, vendor: Vendor, *, lag: str) -> Iterator[Batch]:
        """Yield the batches that a client can see, newest first.

        :param lag: The lag that hides a new one: ``list_lag`` or ``retrieve_lag``.
        """
        watch = self.clock.watch()
        for batch in reversed(self.batches.values()):
            hidden = batch.fault(lag) or 0.0
            if batch.created.vendor == vendor and not batch.deleted and watch - batch.created.watch >= hidden:
                yield batch

    def find(self, vendor: Vendor, batch_id: str) -> Batch | None:
        """Return a batch that a client can see."""
        batch = self.batches.get(batch_id)
        if batch is None or batch.created.vendor != vendor or batch.deleted:
            return None
        hidden = batch.fault("retrieve_lag") or 0.0
        return batch if self.clock.watch() - batch.created.watch >= hidden else None

    def cancel(self, batch: Batch) -> None:
        """Ask for the end of *batch*."""
        batch.remember("cancelled", self.clock.now())

    async def settle(self) -> None:
        """End the batches whose time has come."""
        now = self.clock.now()
        if any(batch.at(now).phase.is_terminal for batch in self.open.values()):
            async with self.settling:
                for batch in list(self.open.values()):
                    moment = batch.at(now)
                    if moment.phase.is_terminal:
                        await self._end(batch, moment)

    async def _end(self, batch: Batch, moment: Moment) -> None:
        """Write the results of *batch*, then its end."""
        ended = Ended(phase=moment.phase, at=moment.since)
        if batch.checked and not batch.checked.errors:
            count = batch.finished(moment.done)
            desk = self.desks[batch.created.vendor]
            run = asyncio.get_running_loop().run_in_executor
            sums = await run(self.closing, work.close_books, batch, desk, self.options.seed, count, moment.phase)
            ended.succeeded, ended.errored, ended.usage = sums.succeeded, sums.errored, sums.usage
            ended.never_ran = batch.total - count
            desk.publish(batch, ended)
        batch.remember("ended", ended)
        self.open.pop(batch.id)

    def describe(self) -> dict[str, Any]:
        """Return what the health route tells."""
        return {"status": "ok", "now": self.clock.now(), "options": dataclasses.asdict(self.options)}


def _report(task: asyncio.Task[None]) -> None:
    """Say so when the work on a batch has died of a mistake of ours: the batch will never end."""
    if not task.cancelled() and task.exception():
        _log.error("Could not %s", task.get_name(), exc_info=task.exception())
