"""``airflow-llmbatch purge``: what a store of answers holds, and its end after some time."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from airflow_provider_llmbatch.cli.console import Console, confirmed
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.storage.answers import Store

DAY = 24 * 60 * 60


def purge(arguments: argparse.Namespace, console: Console) -> int:
    """Delete what a store has kept for long enough."""
    if arguments.older_than < 0:
        raise InputError("--older-than must not be below 0. Nothing was deleted.")
    before = time.time() - arguments.older_than * DAY
    store = Store(arguments.uri)
    segments = [segment for segment in store.segments() if segment.created_at < before]
    left_over = store.left_over(before)
    if not segments and not left_over:
        console.info("%s holds nothing of before %s.", arguments.uri, _day(before))
        return 0
    for segment in reversed(segments):
        head = segment.read_head()
        if head is not None:
            console.info(
                "%s  %s answers of %s:%s",
                segment.name,
                f"{head.answers:,}",
                head.vendor,
                head.model or "(by record)",
            )
    for name in left_over:
        console.info("%s  of a task that did not come to its end", name)
    if not arguments.yes and not confirmed("Delete them?"):
        console.info("Nothing was deleted.")
        return 1
    for segment in segments:
        segment.delete()
    for name in left_over:
        store.folder.remove(name)
    console.info("Deleted. What they answered is asked, and paid, when it comes next; rows that have it keep it.")
    return 0


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
