"""The small record of a job that its dashboard and its users see while it runs: counts and times, never text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_llmbatch.core.batches import Batch

SCHEMA = 1
KEY = "llm_batch_job"
"""XCom key of the record; its value stays below 1 KB."""
SHOWN = 4
"""Batches that the record names one by one; more are only counted."""


def progress(record: Mapping[str, Any], batches: Iterable[Batch], *, now: float) -> dict[str, Any]:
    """Return *record* brought up to date with one look at *batches*.

    :param record: The job's record so far; it is not changed.
    :param now: Epoch seconds.
    """
    seen = list(batches)
    statuses: dict[str, int] = {}
    for batch in seen:
        statuses[batch.status] = statuses.get(batch.status, 0) + 1
    known = [batch for batch in seen if batch.done is not None]
    return {
        **record,
        "batches": statuses,
        "requests": {
            "total": sum(batch.total or 0 for batch in seen),
            "done": sum(batch.done or 0 for batch in known) if known else None,
            "errored": sum(batch.errored or 0 for batch in known) if known else None,
        },
        "latest": [{"batch_id": batch.batch_id, "status": batch.status} for batch in seen[-SHOWN:]],
        "updated_at": round(now, 3),
    }


def is_news(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Return whether *after* says anything that *before* does not, the time aside."""
    return before is None or {**before, "updated_at": None} != {**after, "updated_at": None}
