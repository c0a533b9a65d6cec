"""``airflow-llmbatch purge``: what a store of answers holds, and its end after some time."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from airflow_provider_llmbatch._compat import Log
from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.storage.answers import Store

DAY = 24 * 60 * 60


def add_purge(commands: Any) -> None:
    """Add the command to the sub-commands of a parser."""
    purge = commands.add_parser("purge", help="delete answers that were kept for reuse and are too old")
    purge.add_argument("uri", metavar="REUSE_URI", help="The `reuse_uri` of the tasks.")
    purge.add_argument("--older-than", type=float, required=True, metavar="DAYS", help="By the begin of their job.")
    purge.add_argument("--yes", action="store_true", help="Do not ask for confirmation.")
    purge.set_defaults(run=_purge)


def but_for_kept(reused: Reuse | None) -> str:
    """Return what a reset does not do for a job with a store of answers."""
    return f" But for answers that are kept in {reused.uri}: purge them, or drop reuse_uri." if reused else ""


def _purge(arguments: argparse.Namespace, console: Log) -> int:
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
    if not arguments.yes and not _is_meant():
        console.info("Nothing was deleted.")
        return 1
    for segment in segments:
        segment.delete()
    for name in left_over:
        store.folder.remove(name)
    console.info("Deleted. What they answered is asked, and paid, when it comes next; rows that have it keep it.")
    return 0


def _is_meant() -> bool:
    try:
        return input("Delete them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there
        return False


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
