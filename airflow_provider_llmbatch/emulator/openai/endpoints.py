"""The endpoints that answer, synchronously and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from airflow_provider_llmbatch.emulator.openai import chat, completions, embeddings, moderations, responses
from airflow_provider_llmbatch.emulator.openai.params import Body, Rules, Turn, Written


class Endpoint(NamedTuple):
    """Reads a body and writes an answer."""

    operation: str
    read: Callable[[Body, Rules], Any]
    """Returns what is asked; has ``model`` and ``tokens``."""
    write: Callable[[Any, Turn], Written]


ENDPOINTS = {
    "/v1/responses": Endpoint("openai.responses.create", responses.read, responses.write),
    "/v1/chat/completions": Endpoint("openai.chat.completions.create", chat.read, chat.write),
    "/v1/embeddings": Endpoint("openai.embeddings.create", embeddings.read, embeddings.write),
    "/v1/completions": Endpoint("openai.completions.create", completions.read, completions.write),
    "/v1/moderations": Endpoint("openai.moderations.create", moderations.read, moderations.write),
}

BATCH_ENDPOINTS = (*ENDPOINTS, "/v1/images/generations", "/v1/images/edits", "/v1/videos")
"""What a batch may be for (FACTS §1.1).  The emulator draws and films nothing: the last three it declines."""
