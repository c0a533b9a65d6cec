"""One poller per connection and event loop: a look for one job is a look for all that are about due.

A thousand jobs that each ask about their own batch need a thousand calls a minute; one list call answers for a
hundred (OpenAI) or a thousand (Anthropic) of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

from asgiref.sync import sync_to_async

from airflow_provider_llmbatch.core.batches import Batch, next_look
from airflow_provider_llmbatch.exceptions import VendorError
from airflow_provider_llmbatch.hooks.base import BatchHook
from airflow_provider_llmbatch.vendors import load_hook

log = logging.getLogger(__name__)

Look = dict[str, Batch] | Exception
"""What one look brought: the batches that the vendor showed, or why there was no answer."""


class Watch:
    """One job's interest in some batches."""

    def __init__(self, batch_ids: Collection[str], poll_interval: float) -> None:
        self.batch_ids = set(batch_ids)
        self.poll_interval = poll_interval
        self.looks: asyncio.Queue[Look] = asyncio.Queue()
        self.broken: BaseException | None = None
        self.since = self.due = time.time()

    def is_about_due(self, now: float) -> bool:
        """Return whether a look that somebody else needs now should serve this one too."""
        return self.due - now <= self.poll_interval / 2

    def fail(self, error: BaseException) -> None:
        """Say that no look will come any more."""
        self.broken = error
        self.looks.put_nowait({})

    def deliver(self, look: Look, now: float) -> None:
        """Hand over what one look brought, and plan the next."""
        retry_after = look.retry_after if isinstance(look, VendorError) else None
        pause = next_look(
            now - self.since,
            poll_interval=self.poll_interval,
            jitter=random.random(),  # noqa: S311 - spreads load; nothing secret
            retry_after=retry_after,
        )
        self.due = now + pause
        if isinstance(look, dict):
            look = {batch_id: look[batch_id] for batch_id in self.batch_ids & look.keys()}
        self.looks.put_nowait(look)


class Poller:
    """Looks at every watched batch of one connection."""

    def __init__(self, hook: BatchHook, client: Any) -> None:
        self._hook = hook
        self._client = client
        self._watches: set[Watch] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self, batch_ids: Collection[str], poll_interval: float) -> AsyncIterator[Watch]:
        """Give a watch on *batch_ids* for the time of the block."""
        watch = Watch(batch_ids, poll_interval)
        self._watches.add(watch)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._poll(), name=f"llmbatch poller {self._hook.conn_id}")
            self._task.add_done_callback(self._ended)
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            self._changed.set()

    async def close(self) -> None:
        """Stop looking and give the connection back."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell everybody who waits; a task's timeout, raised by a signal in the midst of a look, ends the poller."""
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            for watch in self._watches:
                watch.fail(error)

    async def _poll(self) -> None:
        while True:
            self._changed.clear()
            now = time.time()
            due = min((watch.due for watch in self._watches), default=None)
            if due is None or due > now:
                await self._sleep(None if due is None else due - now)
                continue
            group = [watch for watch in self._watches if watch.is_about_due(now)]
            look = await self._look(set().union(*(watch.batch_ids for watch in group)))
            for watch in group:
                watch.deliver(look, time.time())

    async def _sleep(self, seconds: float | None) -> None:
        # Not wait_for(): on Python 3.11 it swallows a cancel that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _look(self, batch_ids: set[str]) -> Look:
        try:
            return await self._hook.arun(self._hook.look(batch_ids), self._client)
        except Exception as error:  # a failed look says nothing about a batch, whatever made it fail
            return error


class _Shared:
    """A poller that several use, from the first one's coming to the last one's leaving."""

    def __init__(self, vendor: str, conn_id: str | None) -> None:
        self.opening = asyncio.create_task(_open(vendor, conn_id))
        self.users = 0

    async def close(self) -> None:
        """Close the poller, or stop opening it."""
        self.opening.cancel()
        (found,) = await asyncio.gather(self.opening, return_exceptions=True)
        if isinstance(found, Poller):
            await found.close()


_shared: dict[tuple[int, str, str | None], _Shared] = {}


@asynccontextmanager
async def poller(vendor: str, conn_id: str | None) -> AsyncIterator[Poller]:
    """Give this event loop's poller for the connection; the last one to leave closes it."""
    key = (id(asyncio.get_running_loop()), vendor, conn_id)
    if key not in _shared:
        _shared[key] = _Shared(vendor, conn_id)
    shared = _shared[key]
    shared.users += 1
    try:
        # One that is cancelled while it waits does not take the others' poller with it.
        yield await asyncio.shield(shared.opening)
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[key]
            await shared.close()


async def _open(vendor: str, conn_id: str | None) -> Poller:
    # Reading a connection and importing an SDK block, and in the triggerer a connection read on the loop can deadlock.
    # So the settings are read in the thread too, where the hook keeps them.
    hook, client = await sync_to_async(_load)(vendor, conn_id)
    return Poller(hook, await client.__aenter__())


def _load(vendor: str, conn_id: str | None) -> tuple[BatchHook, Any]:
    hook = load_hook(vendor, conn_id)
    _ = hook.settings
    return hook, hook.async_client()
