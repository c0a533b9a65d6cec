"""Hooks without a network: the vendor is a function at the other end of the SDK's transport."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_llmbatch.hooks.anthropic import AnthropicBatchHook
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings

KEY = "sk-wire-0123456789abcdef"
HOOKS = {"openai": OpenAIBatchHook, "anthropic": AnthropicBatchHook}


def http_of(vendor: str) -> Any:
    """Return the HTTP library below the vendor's SDK: ``httpx2``, or ``httpx`` in the older ones."""
    base = import_module(f"{vendor}._base_client")
    return getattr(base, "httpx2", None) or base.httpx


class Wire:
    """Answers each call with the next of *replies*, the last one for ever, and remembers what was asked.

    A reply is a pair of status and body, with headers as a third part if it has any, or an exception to raise.
    """

    def __init__(self, vendor: str) -> None:
        self.http = http_of(vendor)
        self.replies: list[Any] = [(200, b"{}")]
        self.calls: list[Any] = []

    def __call__(self, request: Any) -> Any:
        request.read()
        self.calls.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        status, body, *headers = reply
        content = {"json": body} if isinstance(body, (dict, list)) else {"content": body}
        return self.http.Response(status, headers=headers[0] if headers else None, **content)

    @property
    def asked(self) -> list[str]:
        """Method and target of every call."""
        return [f"{call.method} {call.url.raw_path.decode()}" for call in self.calls]


class Bench:
    """One vendor's hook and its wire."""

    def __init__(self, vendor: str, **extra: Any) -> None:
        self.vendor = vendor
        self.wire = Wire(vendor)
        self.hook = HOOKS[vendor](f"{vendor}_default")
        client = self.wire.http.Client(transport=self.wire.http.MockTransport(self.wire))
        self.hook.settings = Settings(api_key=KEY, client_kwargs={"http_client": client}, **extra)

    def reply(self, *replies: Any) -> Bench:
        self.wire.replies = list(replies)
        return self


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Make a bench: ``bench("openai", list_mode="none")``."""
    return Bench


@pytest.fixture(params=sorted(HOOKS))
def vendor(request: pytest.FixtureRequest) -> str:
    """Each vendor in turn."""
    return request.param
