"""Segments of a store, written by hand."""

from __future__ import annotations

from hashlib import blake2b

from airflow_provider_llmbatch.core.results import Result, Usage
from airflow_provider_llmbatch.core.reuse import stored_line
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.engine.reuse.keep import write_segment
from airflow_provider_llmbatch.storage.answers import Store, segment_name

DAY = 24 * 60 * 60
AT = 1_795_000_000


def digest(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


def line(digest: bytes, text: str = "", **facts) -> bytes:
    result = Result(status="succeeded", output=text, finish_reason="stop", model="m-1", **facts)
    return stored_line(digest, Answer(result, 1, "batch_1", "0a1b2c3d4e-1-7"), Usage(input=3, output=2), "0.0012")


def put(store: Store, number: int, digests, text: str = "", **head) -> str:
    """Write a segment, *number* days young, and return its name."""
    name = segment_name("0a1b2c3d4e", AT + number * DAY, 1)
    entries = ((digest, line(digest, f"{text}{number}")) for digest in digests)
    write_segment(store, name, entries, created_at=float(AT), vendor="openai", model="m", **head)
    return name
