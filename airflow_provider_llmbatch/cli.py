"""``airflow-llmbatch``: what a person on call needs to know and do, without a DAG.

Reading needs the storage only. What talks to a vendor uses the connection that the job was begun with, from wherever
this machine's Airflow keeps its connections.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from airflow_provider_llmbatch._cli_reuse import add_purge, but_for_kept
from airflow_provider_llmbatch.core.batches import Batch, duration
from airflow_provider_llmbatch.core.manifest import Manifest, ShardState
from airflow_provider_llmbatch.engine.begin import resume
from airflow_provider_llmbatch.engine.bill import times_of
from airflow_provider_llmbatch.engine.job import Job
from airflow_provider_llmbatch.engine.manage import Orphan, Sweep, find_jobs, halt, live, status_of, summary_of
from airflow_provider_llmbatch.exceptions import InputError, LLMBatchError, VendorError
from airflow_provider_llmbatch.vendors import load_hook, vendors

DAY = 24 * 60 * 60


class Console:
    """A log that a person reads: news on stdout, trouble on stderr."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.warnings = 0

    def info(self, event: str, *args: Any) -> None:
        print(event % args if args else event, file=self._out)

    def warning(self, event: str, *args: Any) -> None:
        self.warnings += 1
        print(event % args if args else event, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :return: 0: done; 1: something could not be done, and stderr says what; 2: it was called wrongly.
    """
    # Outside of a task, Airflow 3 reads connections from its database only for processes that say they are servers.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    for name in ("httpx", "httpx2"):  # every call of the SDKs at INFO is not what a person on call came for
        logging.getLogger(name).setLevel(logging.WARNING)
    arguments = make_parser().parse_args(argv)
    try:
        with _own_stdout() as out:
            code: int = arguments.run(arguments, Console(out))
    except LLMBatchError as error:
        print(f"airflow-llmbatch: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except BrokenPipeError:  # `airflow-llmbatch jobs … | head`
        return 1
    return code


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Give stdout, and send what anybody else prints to stderr.

    Airflow 3 logs to stdout; ours is a table, or JSON for another program.
    """
    theirs = sys.stdout
    theirs.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as ours:
        os.dup2(2, 1)
        try:
            yield ours
        finally:
            theirs.flush()
            os.dup2(ours.fileno(), 1)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser: one sub-command per gesture."""
    parser = argparse.ArgumentParser(
        prog="airflow-llmbatch", description="Look at LLM batch jobs, stop them, ask anew, and sweep up after them."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    jobs = commands.add_parser("jobs", help="list the jobs below a base URI")
    jobs.add_argument("uri", metavar="BASE_URI", help="Folder above the jobs; the one of a DAG or a run will do.")
    jobs.add_argument("--json", action="store_true", help="One JSON object per line.")
    jobs.set_defaults(run=_jobs)

    show = commands.add_parser("show", help="say what a job asked and how far each shard is")
    _takes_jobs(show)
    show.add_argument("--live", action="store_true", help="Ask the vendor how the open batches stand. Free of charge.")
    show.add_argument("--json", action="store_true", help="One JSON object per line.")
    show.set_defaults(run=_show)

    cancel = commands.add_parser("cancel", help="ask the vendor to cancel what is running")
    _takes_jobs(cancel)
    cancel.set_defaults(run=_cancel)

    anew = commands.add_parser("reset", help="move a job aside, so that its question is asked and paid anew")
    _takes_jobs(anew)
    anew.add_argument("--cancel", action="store_true", help="Cancel live batches first; else they forbid it.")
    anew.add_argument("--yes", action="store_true", help="Do not ask for confirmation.")
    anew.set_defaults(run=_reset)

    sweep = commands.add_parser("sweep", help="find our batches at a vendor that no job waits for")
    sweep.add_argument("uris", nargs="+", metavar="URI", help="Jobs, or folders above them: name all there are.")
    sweep.add_argument("--vendor", required=True, choices=sorted(vendors()))
    sweep.add_argument("--conn-id", help="Default: <vendor>_default.")
    sweep.add_argument("--since", type=float, default=30, metavar="DAYS", help="How far back. Default: %(default)s.")
    sweep.add_argument("--cancel", action="store_true", help="Cancel those that run and are surely ours.")
    sweep.add_argument("--json", action="store_true", help="One JSON object per line.")
    sweep.set_defaults(run=_sweep)
    add_purge(commands)
    return parser


def _takes_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uris", nargs="+", metavar="JOB_URI", help="A job's folder: `job_uri` of the task's result.")


# -- jobs and show ---------------------------------------------------------------------------------------------


def _jobs(arguments: argparse.Namespace, console: Console) -> int:
    lines = []
    for uri in find_jobs(arguments.uri):
        try:
            job = _open(uri, console)
        except LLMBatchError as error:  # one damaged folder does not hide the others
            console.warning("%s", error)
            continue
        lines.append(_facts(job))
    if arguments.json:
        _print_json(console, lines)
    elif lines:
        columns = ("status", "vendor", "model", "records", "batches", "begun", "job_uri")
        _print_table(console, columns, [[_cell(line[name]) for name in columns] for line in lines])
    else:
        console.info("No jobs below %s.", arguments.uri)
    return 1 if console.warnings else 0


def _show(arguments: argparse.Namespace, console: Console) -> int:
    for number, uri in enumerate(arguments.uris):
        job = _open(uri, console)
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
            _print_json(console, [facts])
        else:
            _print_job(console, facts, is_first=number == 0)
    return 0


def _open(uri: str, console: Console) -> Job:
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
        "begun": _time(job.spec.created_at),
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
        **{name: _time(at) for name, at in times_of(shard, batch).items()},
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
        "records": _cell(facts["records"]),
        "begun": facts["begun"],
        "output": facts["output_uri"] or "output.jsonl in the job's folder",
    }
    if facts["summary"]:
        pairs["cost"] = _money(facts["summary"])
        pairs["discount"] = facts["summary"].get("discount") or "unknown"
    for name, value in pairs.items():
        console.info(f"  {name:<8} {value}")
    shards = [shard for round_ in facts["rounds"] for shard in round_["shards"]]
    names: Sequence[str] = ("shard", "phase", "batch_id", "batch_status", "done", "rows")
    if shards:
        rows = [[_cell(shard[name]) if name != "done" else _progress(shard) for name in names] for shard in shards]
        _print_table(console, names, rows, indent="  ")
    batches = [shard for shard in shards if shard["batch_id"]]
    names = ("batch_id", "cost", "submitted", "in_progress", "finalizing", "ended", "collected")
    if batches:
        costs = {batch["batch_id"]: _money(batch) for batch in (facts["summary"] or {}).get("batches", ())}
        rows = [[_cell((batch | {"cost": costs.get(batch["batch_id"])})[name]) for name in names] for batch in batches]
        _print_table(console, names, rows, indent="  ")


def _progress(shard: dict[str, Any]) -> str:
    return f"{_cell(shard['done'])}/{shard['requests']:,}"


# -- cancel and reset ------------------------------------------------------------------------------------------


def _cancel(arguments: argparse.Namespace, console: Console) -> int:
    code = 0
    for uri in arguments.uris:
        asked, left = halt(_open(uri, console))
        code |= bool(left)
        if asked:
            console.info(
                f"{uri}: {len(asked)} batches asked to stop. What had finished is billed and kept: the task's next "
                "attempt, or a reconcile task, collects it and asks, and pays, only the rest."
            )
        else:
            console.info(f"{uri}: nothing was cancelled.")
    return code


def _reset(arguments: argparse.Namespace, console: Console) -> int:
    jobs = [_open(uri, console) for uri in arguments.uris]
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
        if not arguments.yes and not _confirmed():
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
    cost = f" They cost {_money(summary)}." if summary else ""
    return (
        f"{asked:,} requests were sent in {len(job.manifest.batch_ids)} batches.{cost} After a reset every record is "
        f"asked, and paid, again; what was paid stays paid.{but_for_kept(job.manifest.reused)}"
    )


def _confirmed() -> bool:
    try:
        return input("Reset it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there
        return False


# -- sweep -----------------------------------------------------------------------------------------------------


def _sweep(arguments: argparse.Namespace, console: Console) -> int:
    hook = load_hook(arguments.vendor, arguments.conn_id)
    found = Sweep(hook, arguments.uris, console).run(time.time() - arguments.since * DAY)
    facts = [_orphan_facts(orphan) for orphan in found]
    if arguments.json:
        _print_json(console, facts)
    elif facts:
        names = ("batch_id", "status", "requests", "age", "job_id", "shard")
        _print_table(console, names, [[_cell(fact[name]) for name in names] for fact in facts])
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
        "created": _time(batch.created_at),
        "age": duration(time.time() - batch.created_at) if batch.created_at else None,
        "job_id": orphan.job_id,
        "shard": orphan.shard,
    }


# -- words -----------------------------------------------------------------------------------------------------


def _money(summary: dict[str, Any]) -> str:
    cost = summary.get("cost_usd")
    return "an unknown amount" if cost is None else f"{cost} USD"


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None or value == "" else str(value)


def _print_json(console: Console, lines: Iterable[dict[str, Any]]) -> None:
    for line in lines:
        console.info(json.dumps(line, ensure_ascii=False))


def _print_table(console: Console, names: Sequence[str], rows: list[list[str]], indent: str = "") -> None:
    table = [[name.replace("_", " ").upper() for name in names], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    for row in table:
        console.info(indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
