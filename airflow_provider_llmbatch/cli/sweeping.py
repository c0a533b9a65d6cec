"""``sweep``: batches at a vendor that no job waits for."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from airflow_provider_llmbatch.cli.console import Console, as_time, cell, print_json, print_table
from airflow_provider_llmbatch.core.batches import duration
from airflow_provider_llmbatch.engine.manage import Orphan, Sweep
from airflow_provider_llmbatch.exceptions import VendorError
from airflow_provider_llmbatch.vendors import load_hook

DAY = 24 * 60 * 60


def sweep(arguments: argparse.Namespace, console: Console) -> int:
    """Find our batches at a vendor that no job waits for."""
    hook = load_hook(arguments.vendor, arguments.conn_id)
    found = Sweep(hook, arguments.uris, console).run(time.time() - arguments.since * DAY)
    facts = [_orphan_facts(orphan) for orphan in found]
    if arguments.json:
        print_json(console, facts)
    elif facts:
        names = ("batch_id", "status", "requests", "age", "job_id", "shard")
        print_table(console, names, [[cell(fact[name]) for name in names] for fact in facts])
    else:
        console.info("No batch at %s that carries our marker is without a job.", hook.conn_id)
    unproven = sum(orphan.job_id is None for orphan in found)
    if unproven:
        note = f"{unproven} running batches may be anybody's: {hook.vendor} keeps no marker, so only results tell."
        print(f"{note} They are never cancelled from here.", file=sys.stderr)
    if arguments.cancel:
        for orphan in found:
            if orphan.job_id and not orphan.batch.is_terminal:
                _cancel_orphan(hook, orphan, console)
    return 1 if console.warnings else 0


def _cancel_orphan(hook: Any, orphan: Orphan, console: Console) -> None:
    batch_id = orphan.batch.batch_id
    try:
        hook.cancel(batch_id)
    except VendorError as error:
        console.warning("Batch %s could not be cancelled: %s", batch_id, error)
    else:
        print(f"Batch {batch_id}: cancel asked for; what had finished is billed.", file=sys.stderr)


def _orphan_facts(orphan: Orphan) -> dict[str, Any]:
    batch = orphan.batch
    return {
        "batch_id": batch.batch_id,
        "status": batch.status,
        "requests": batch.total or None,  # OpenAI counts none before it has validated the file
        "created": as_time(batch.created_at),
        "age": duration(time.time() - batch.created_at) if batch.created_at else None,
        "job_id": orphan.job_id,
        "shard": orphan.shard,
    }
