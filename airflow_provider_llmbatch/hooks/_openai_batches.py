"""OpenAI's batch object, read with patience for what look-alikes and old versions make of it (FACTS §4)."""

from __future__ import annotations

from typing import Any

from airflow_provider_llmbatch.core.batches import Batch, BatchError, Status, as_time

_STATUSES: dict[str, Status] = {
    "validating": "validating",
    "queued": "validating",
    "in_progress": "in_progress",
    "running": "in_progress",
    "finalizing": "finalizing",
    "cancelling": "cancelling",
    "canceling": "cancelling",
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}


def read_batch(item: dict[str, Any]) -> Batch:
    """Read a batch object.

    It goes into an event, which is read back strictly: whatever has another type than it should is left out.
    """
    item = item.get("job") or item
    raw = str(item.get("status") or "").lower()
    counts = item.get("request_counts") or {}
    done, errored = _whole(counts.get("completed")), _whole(counts.get("failed"))
    errors = item.get("errors") or []
    roles = {"input": "input_file_id", "output": "output_file_id", "error": "error_file_id"}
    ended = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    return Batch(
        batch_id=str(item["id"]),
        status=_STATUSES.get(raw, "unknown"),
        vendor_status=raw,
        total=_whole(counts.get("total")),
        done=None if done is None else done + (errored or 0),
        errored=errored,
        created_at=as_time(item.get("created_at")),
        in_progress_at=as_time(item.get("in_progress_at")),
        finalizing_at=as_time(item.get("finalizing_at")),
        ended_at=next((as_time(item[name]) for name in ended if item.get(name)), None),
        expires_at=as_time(item.get("expires_at")),
        files={role: str(item[name]) for role, name in roles.items() if item.get(name)},
        errors=[_error(error) for error in (errors.get("data") or [] if isinstance(errors, dict) else errors)],
        marker={name: str(value) for name, value in (item.get("metadata") or {}).items()},
        usage=_usage(item.get("usage")),
    )


def _error(error: Any) -> BatchError:
    facts = error if isinstance(error, dict) else {"message": error}
    return BatchError(str(facts.get("code") or "unknown"), str(facts.get("message") or ""), _whole(facts.get("line")))


def _usage(usage: Any) -> dict[str, int]:
    """Read the tokens of the whole batch. It does not tell how many were written to a cache (FACTS §1.3)."""
    told = {
        "input_tokens": _in(usage, "input_tokens"),
        "cached_input_tokens": _in(_in(usage, "input_tokens_details"), "cached_tokens"),
        "output_tokens": _in(usage, "output_tokens"),
        "reasoning_tokens": _in(_in(usage, "output_tokens_details"), "reasoning_tokens"),
    }
    counts = {name: count for name, value in told.items() if (count := _whole(value)) is not None}
    return counts if any(counts.values()) else {}  # nothing but zeros: not counted yet, or never


def _in(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None
