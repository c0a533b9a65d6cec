"""The endpoints that answer, synchronously and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from airflow_provider_llmbatch.emulator.openai import chat
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written


class Endpoint(NamedTuple):
    """Reads a body and writes an answer."""

    operation: str
    read: Callable[[Body, Rules], Any]
    """Returns what is asked; has ``tokens`` and ``model``."""
    write: Callable[[Any, Turn], Written]


ENDPOINTS = {
    "/v1/chat/completions": Endpoint("openai.chat.completions.create", chat.read, chat.write),
}

BATCH_ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
"""What a batch may be for (FACTS §1.1)."""
