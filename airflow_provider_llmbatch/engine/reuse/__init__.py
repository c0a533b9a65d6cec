"""Answers that are kept across jobs and DAGs: only what is new or changed is asked.

``gate``    while the requests of round 1 stream by: those that have an answer stay here
``landing`` the rows of those records, beside those of the records that were asked
``keep``    once the rows are written: what this job paid for goes to the store, for the next one
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from airflow_provider_llmbatch.core.requests import custom_id
from airflow_provider_llmbatch.core.reuse import Digester, digester
from airflow_provider_llmbatch.engine.job import Job

REUSED = "reused.jsonl"
"""The answers that this job took from the store, beside their records: it is not needed a second time."""


def digesters(job: Job) -> Callable[[str], Digester]:
    """Return what makes, from a lane, the function that takes the digests of its requests."""
    output = job.question.output if job.question else None
    schema = output.schema if output else None
    host = job.hook.settings.base_url
    name = custom_id(job.spec.job_id, 1, "")
    return cache(lambda lane: digester(job.hook.vendor, host, lane, schema, name))
