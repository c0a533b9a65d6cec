"""``estimate``: what a job will take, and what it took."""

from __future__ import annotations

import argparse
from typing import Any

from airflow_provider_llmbatch.cli.console import Console, cell, print_json, print_table
from airflow_provider_llmbatch.cli.read import open_job
from airflow_provider_llmbatch.core.estimate import Estimate, Money, Tokens
from airflow_provider_llmbatch.core.rows import money
from airflow_provider_llmbatch.engine.estimate import basis, estimate_first, facts
from airflow_provider_llmbatch.engine.manage import summary_of
from airflow_provider_llmbatch.exceptions import InputError

UNKNOWN = "unknown"


def estimate(arguments: argparse.Namespace, console: Console) -> int:
    """Say what jobs will take, and of those that are over what they took."""
    for uri in arguments.uris:
        job = open_job(uri, console)
        if not job.manifest.rounds:
            raise InputError(f"the requests of {uri!r} are not written yet, so there is nothing to estimate.")
        found, summary = estimate_first(job), summary_of(job) or {}
        if arguments.json:
            took = {name: summary.get(name) for name in ("usage", "cost_usd", "sync_cost_usd")} if summary else None
            print_json(console, [{"job_uri": job.folder.uri, **facts(found)["estimate"], "actual": took}])
        else:
            _print(console, job.folder.uri, found, summary)
    return 0


def _print(console: Console, uri: str, found: Estimate, summary: dict[str, Any]) -> None:
    console.info(uri)
    console.info(
        f"  {found.requests:,} requests to {found.vendor}:{found.model or '(by record)'}; {found.sampled:,} of them "
        f"were counted, by {basis(found)}"
    )
    took = summary.get("usage", {})
    rows = [
        ["input tokens", found.input_tokens, took.get("input_tokens")],
        ["output tokens", found.output_tokens, took.get("output_tokens")],
        ["USD in batches", found.cost_usd, summary.get("cost_usd")],
        ["USD without", found.sync_cost_usd, summary.get("sync_cost_usd")],
    ]
    names = ("", "expected", "error", "at_most", "actual")
    print_table(console, names, [[name, *_cells(span), cell(actual)] for name, span, actual in rows], indent="  ")


def _cells(span: Tokens | Money | None) -> list[str]:
    if span is None:
        return [UNKNOWN] * 3
    if span.expected is None:
        return [UNKNOWN, cell(None), _cell(span.at_most)]
    return [_cell(span.expected), _cell(span.error), _cell(span.at_most)]


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return cell(value) if isinstance(value, int) else money(value)
