"""``jobs`` and ``show``: what a job's folder tells."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from airflow_provider_llmbatch.cli.console import Console, as_time, cell, money, print_json, print_table
from airflow_provider_llmbatch.core.batches import Batch
from airflow_provider_llmbatch.core.manifest import Manifest, ShardState
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.engine.bill import times_of
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.manage import find_jobs, status_of, summary_of
from airflow_provider_llmbatch.exceptions import LLMBatchError


def jobs(arguments: argparse.Namespace, console: Console) -> int:
    """List the jobs below a base URI."""
    lines = []
    for uri in find_jobs(arguments.uri):
        try:
            lines.append(_facts(open_job(uri, console)))
        except LLMBatchError as error:  # one damaged folder does not hide the others
            console.warning("%s", error)
    if arguments.json:
        print_json(console, lines)
    elif lines:
        columns = ("status", "vendor", "model", "records", "batches", "begun", "job_uri")
        print_table(console, columns, [[cell(line[name]) for name in columns] for line in lines])
    else:
        console.info("No jobs below %s.", arguments.uri)
    return 1 if console.warnings else 0


def show(arguments: argparse.Namespace, console: Console) -> int:
    """Say what a job asked and how far each shard is."""
    for number, uri in enumerate(arguments.uris):
        job = open_job(uri, console)
        ids = [shard.batch_id for shard in job.manifest.open if shard.batch_id]
        seen = job.hook.run(job.hook.look(ids)) if arguments.live else {}
        facts = _facts(job) | {
            "dag_id": job.spec.dag_id,
            "run_id": job.spec.run_id,
            "task_id": job.spec.task_id,
            "map_index": job.spec.map_index,
            "conn_id": job.spec.conn_id,
            "endpoint": job.spec.endpoint,
            "source": job.spec.source,
            "key": job.spec.key,
            "output_uri": job.spec.output_uri,
            "job_id": job.spec.job_id,
            "rounds": [
                {"round": round_.number, "shards": [_shard_facts(shard, seen) for shard in round_.shards]}
                for round_ in job.manifest.rounds
            ],
            "summary": summary_of(job),
        }
        if arguments.json:
            print_json(console, [facts])
        else:
            _print_job(console, facts, is_first=number == 0)
    return 0


def open_job(uri: str, console: Console) -> Job:
    """Open the job at *uri*, and read what has happened in it."""
    job = resume(uri, log=console)
    job.refresh()
    return job


def _facts(job: Job) -> dict[str, Any]:
    return {
        "status": status_of(job),
        "vendor": job.spec.vendor,
        "model": job.spec.model,
        "records": _records(job.manifest),
        "batches": len(job.manifest.batch_ids),
        "begun": as_time(job.spec.created_at),
        "job_uri": job.folder.uri,
    }


def _records(manifest: Manifest) -> int | None:
    return manifest.records if manifest.rounds else None


def _shard_facts(shard: ShardState, seen: dict[str, Batch]) -> dict[str, Any]:
    batch = shard.batch or seen.get(shard.batch_id or "")
    return {
        "shard": shard.name,
        "phase": shard.phase,
        "batch_id": shard.batch_id,
        "batch_status": batch.status if batch else None,
        "requests": shard.shard.count,
        "done": batch.done if batch else None,
        "rows": shard.tally.statuses if shard.tally else None,
        "attempt": shard.attempt,
        **{name: as_time(at) for name, at in times_of(shard, batch).items()},
    }


def _print_job(console: Console, facts: dict[str, Any], *, is_first: bool) -> None:
    if not is_first:
        console.info("")
    console.info(facts["job_uri"])
    where = f"{facts['dag_id']} · {facts['run_id']} · {facts['task_id']}"
    pairs = {
        "status": facts["status"],
        "task": where if facts["map_index"] < 0 else f"{where} [{facts['map_index']}]",
        "asked": f"{facts['vendor']}:{facts['model'] or '(by record)'} on connection {facts['conn_id']}",
        "source": " ".join(f"{name}={value}" for name, value in facts["source"].items()),
        "records": cell(facts["records"]),
        "begun": facts["begun"],
        "output": facts["output_uri"] or "output.jsonl in the job's folder",
    }
    if facts["summary"]:
        pairs["cost"] = money(facts["summary"])
        pairs["discount"] = facts["summary"].get("discount") or "unknown"
    for name, value in pairs.items():
        console.info(f"  {name:<8} {value}")
    shards = [shard for round_ in facts["rounds"] for shard in round_["shards"]]
    names: Sequence[str] = ("shard", "phase", "batch_id", "batch_status", "done", "rows")
    if shards:
        rows = [[cell(shard[name]) if name != "done" else _progress(shard) for name in names] for shard in shards]
        print_table(console, names, rows, indent="  ")
    batches = [shard for shard in shards if shard["batch_id"]]
    names = ("batch_id", "cost", "submitted", "in_progress", "finalizing", "ended", "collected")
    if batches:
        costs = {batch["batch_id"]: money(batch) for batch in (facts["summary"] or {}).get("batches", ())}
        rows = [[cell((batch | {"cost": costs.get(batch["batch_id"])})[name]) for name in names] for batch in batches]
        print_table(console, names, rows, indent="  ")


def _progress(shard: dict[str, Any]) -> str:
    return f"{cell(shard['done'])}/{shard['requests']:,}"
