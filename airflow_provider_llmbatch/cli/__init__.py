"""``airflow-llmbatch``: what a person on call needs to know and do, without a DAG.

Reading needs the storage only. What talks to a vendor uses the connection that the job was begun with, from wherever
this machine's Airflow keeps its connections.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from airflow_provider_llmbatch.cli.act import cancel, reset
from airflow_provider_llmbatch.cli.console import Console, own_stdout
from airflow_provider_llmbatch.cli.estimating import estimate
from airflow_provider_llmbatch.cli.purging import purge
from airflow_provider_llmbatch.cli.read import jobs, show
from airflow_provider_llmbatch.cli.sweeping import sweep
from airflow_provider_llmbatch.exceptions import InputError, LLMBatchError
from airflow_provider_llmbatch.vendors import vendors


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
        with own_stdout() as out:
            code: int = arguments.run(arguments, Console(out))
    except LLMBatchError as error:
        print(f"airflow-llmbatch: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except BrokenPipeError:  # `airflow-llmbatch jobs … | head`
        return 1
    return code


def make_parser() -> argparse.ArgumentParser:
    """Make the parser: one sub-command per gesture."""
    parser = argparse.ArgumentParser(
        prog="airflow-llmbatch", description="Look at LLM batch jobs, stop them, ask anew, and sweep up after them."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    of_jobs = commands.add_parser("jobs", help="list the jobs below a base URI")
    of_jobs.add_argument("uri", metavar="BASE_URI", help="Folder above the jobs; the one of a DAG or a run will do.")
    of_jobs.add_argument("--json", action="store_true", help="One JSON object per line.")
    of_jobs.set_defaults(run=jobs)

    of_show = commands.add_parser("show", help="say what a job asked and how far each shard is")
    _takes_jobs(of_show)
    of_show.add_argument(
        "--live", action="store_true", help="Ask the vendor how the open batches stand. Free of charge."
    )
    of_show.add_argument("--json", action="store_true", help="One JSON object per line.")
    of_show.set_defaults(run=show)

    of_estimate = commands.add_parser("estimate", help="say what a prepared job will cost, and what a finished one did")
    _takes_jobs(of_estimate)
    of_estimate.add_argument("--json", action="store_true", help="One JSON object per line.")
    of_estimate.set_defaults(run=estimate)

    of_cancel = commands.add_parser("cancel", help="ask the vendor to cancel what is running")
    _takes_jobs(of_cancel)
    of_cancel.set_defaults(run=cancel)

    of_reset = commands.add_parser("reset", help="move a job aside, so that its question is asked and paid anew")
    _takes_jobs(of_reset)
    of_reset.add_argument("--cancel", action="store_true", help="Cancel live batches first; else they forbid it.")
    of_reset.add_argument("--yes", action="store_true", help="Do not ask for confirmation.")
    of_reset.set_defaults(run=reset)

    of_sweep = commands.add_parser("sweep", help="find our batches at a vendor that no job waits for")
    of_sweep.add_argument("uris", nargs="+", metavar="URI", help="Jobs, or folders above them: name all there are.")
    of_sweep.add_argument("--vendor", required=True, choices=sorted(vendors()))
    of_sweep.add_argument("--conn-id", help="Default: <vendor>_default.")
    of_sweep.add_argument("--since", type=float, default=30, metavar="DAYS", help="How far back. Default: %(default)s.")
    of_sweep.add_argument("--cancel", action="store_true", help="Cancel those that run and are surely ours.")
    of_sweep.add_argument("--json", action="store_true", help="One JSON object per line.")
    of_sweep.set_defaults(run=sweep)

    of_purge = commands.add_parser("purge", help="delete answers that were kept for reuse and are too old")
    of_purge.add_argument("uri", metavar="REUSE_URI", help="The `reuse_uri` of the tasks.")
    of_purge.add_argument("--older-than", type=float, required=True, metavar="DAYS", help="By the begin of their job.")
    of_purge.add_argument("--yes", action="store_true", help="Do not ask for confirmation.")
    of_purge.set_defaults(run=purge)
    return parser


def _takes_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uris", nargs="+", metavar="JOB_URI", help="A job's folder: `job_uri` of the task's result.")
