"""Segments of a store, written by hand."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b

from airflow_provider_llmbatch.core.results import Result
from airflow_provider_llmbatch.core.reuse import cost_of, stored_line
from airflow_provider_llmbatch.core.rows import Answer
from airflow_provider_llmbatch.storage.answers import Store, segment_name
from airflow_provider_llmbatch.storage.index import Kept

DAY = 24 * 60 * 60
AT = 1_795_000_000
COST = cost_of(Decimal("0.0012"))


def digest(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


def line(digest: bytes, text: str = "", **facts) -> bytes:
    result = Result(status="succeeded", output=text, finish_reason="stop", model="m-1", **facts)
    return stored_line(digest, Answer(result, 1, "batch_1", "0a1b2c3d4e-1-7"))


def put(store: Store, number: int, digests, text: str = "", **head) -> str:
    """Write a segment, *number* days young, and return its name."""
    name = segment_name("0a1b2c3d4e", AT + number * DAY, 1)
    answers = (Kept(digest, line(digest, f"{text}{number}"), COST) for digest in digests)
    store.write(name, answers, created_at=float(AT), vendor="openai", model="m", **head)
    return name
