"""``cancel`` and ``reset``: what changes a job."""

from __future__ import annotations

import argparse
import sys

from airflow_provider_llmbatch.cli.console import Console, confirmed, money
from airflow_provider_llmbatch.cli.read import open_job
from airflow_provider_llmbatch.core.manifest import Reuse
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.manage import halt, live, summary_of


def cancel(arguments: argparse.Namespace, console: Console) -> int:
    """Ask the vendor to cancel what is running."""
    code = 0
    for uri in arguments.uris:
        asked, left = halt(open_job(uri, console))
        code |= bool(left)
        if asked:
            console.info(
                f"{uri}: {len(asked)} batches asked to stop. What had finished is billed and kept: the task's next "
                "attempt, or a reconcile task, collects it and asks, and pays, only the rest."
            )
        else:
            console.info(f"{uri}: nothing was cancelled.")
    return code


def reset(arguments: argparse.Namespace, console: Console) -> int:
    """Move jobs aside, so that their questions are asked anew."""
    jobs = [open_job(uri, console) for uri in arguments.uris]
    busy = {job.folder.uri: live(job) for job in jobs if live(job)}
    if busy and not arguments.cancel:
        for uri, shards in busy.items():
            print(
                f"airflow-llmbatch: {uri}: {len(shards)} shards run at the vendor, or may ({', '.join(shards[:5])}). "
                "Nothing was reset. Wait for them, or add --cancel.",
                file=sys.stderr,
            )
        return 1
    code = 0
    for job in jobs:
        console.info(f"{job.folder.uri}: {_price_of_a_reset(job)}")
        if not arguments.yes and not confirmed("Reset it?"):
            console.info("Nothing was reset.")
            return 1
        _, left = halt(job) if live(job) else ([], [])
        code |= bool(left)
        console.info(f"Moved to {job.folder.supersede()}. Clear the task to ask anew.")
    return code


def _price_of_a_reset(job: Job) -> str:
    asked = sum(shard.shard.count for shard in job.manifest.shards if shard.batch_id)
    if not asked:
        return "nothing of it was sent, so a reset costs nothing."
    summary = summary_of(job)
    cost = f" They cost {money(summary)}." if summary else ""
    return (
        f"{asked:,} requests were sent in {len(job.manifest.batch_ids)} batches.{cost} After a reset every record is "
        f"asked, and paid, again; what was paid stays paid.{_but_for_kept(job.manifest.reused)}"
    )


def _but_for_kept(reused: Reuse | None) -> str:
    """Return what a reset does not do for a job with a store of answers."""
    return f" But for answers that are kept in {reused.uri}: purge them, or drop reuse_uri." if reused else ""
