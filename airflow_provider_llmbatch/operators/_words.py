"""What tasks hand on before a job is over, and how a summary reads in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a DAG file is parsed again and again: what does the work is imported where the work is done
    from airflow_provider_llmbatch.core.estimate import Estimate
    from airflow_provider_llmbatch.engine import Job


def submitted(job: Job) -> dict[str, Any]:
    """Return what a task that does not wait hands on: enough to find the job again, a few hundred bytes."""
    return {
        "job_uri": job.folder.uri,
        "output_uri": job.terms.output_uri,
        "vendor": job.hook.vendor,
        "model": job.spec.model,
        "status": "submitted",
        "counts": {"total": job.manifest.records},
        "rounds": len(job.manifest.rounds),
        "batch_ids": job.manifest.batch_ids,
    }


def estimated(job: Job, estimate: Estimate) -> dict[str, Any]:
    """Return what a task that only estimates hands on."""
    from airflow_provider_llmbatch.engine.estimate import facts

    return submitted(job) | {"status": "estimated"} | facts(estimate)


def in_short(summary: Mapping[str, Any]) -> str:
    """Write a summary for the log, in one line."""
    counts = {name: count for name, count in summary["counts"].items() if count and name != "total"}
    cost = f"{summary['cost_usd']} USD" if summary["cost_usd"] is not None else "cost unknown"
    reused = f"{summary['reused']['rows']:,} of them answered before; " if summary.get("reused") else ""
    cached = f", {summary['cache_hit_ratio']:.0%} of the input from a cache" if summary["cache_hit_ratio"] else ""
    return (
        f"{summary['counts']['total']:,} records, {', '.join(f'{count:,} {name}' for name, count in counts.items())}; "
        f"{reused}{len(summary['batch_ids'])} batches, {summary['rounds']} rounds, {cost}{cached}; "
        f"{summary['output_uri']}"
    )
