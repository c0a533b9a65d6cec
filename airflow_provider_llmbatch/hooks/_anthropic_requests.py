"""What is asked of Anthropic: the ``params`` of one request, and what a batch refuses in them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from airflow_provider_llmbatch.core.requests import SAME, SYSTEM_ROLES, Ask, Change
from airflow_provider_llmbatch.core.schemas import OutputSchema, Tool
from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._anthropic_cache import marked
from airflow_provider_llmbatch.hooks._anthropic_schemas import fitted

NOT_IN_BATCH = (
    *("speed", "store", "previous_thread_event_id", "cache_hint", "context_hint"),
    *("fallbacks", "billing_policy", "research_preview_2026_02"),
)
"""Parameters that a message may have and a batch refuses, item by item and hours later (FACTS §2.9)."""
SAMPLING = ("temperature", "top_p", "top_k")
SAMPLING_ENDS = "2026-10-21"
"""The API version that refuses them (FACTS §2.1)."""

_TELL = "Answer with a JSON object that satisfies this JSON Schema, and with nothing else: "
_MEDIA_TYPES = {
    "image": ("image/jpeg", "image/png", "image/gif", "image/webp"),
    "document": ("application/pdf", "text/plain"),
}
"""What may come inline: the SDK's ``Base64ImageSourceParam``, ``Base64PDFSourceParam`` and ``PlainTextSourceParam``."""
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w-]+=[\w-]+)*;base64,(?P<data>.+)", re.DOTALL)
_FILE_ID = re.compile(r"[\w-]+")


class Line(msgspec.Struct):
    """One item of ``requests``; its params stay the bytes that they are."""

    custom_id: str
    params: msgspec.Raw


# -- a new request ---------------------------------------------------------------------------------------------------


def params_of(ask: Ask) -> dict[str, Any]:
    """Return *ask* in Anthropic's words. The body is the ground, what the task says lies on it, and params on top.

    :raises InputError: The source of a picture or document is none that Anthropic takes.
    """
    system, turns = _split_system(ask)
    bound = ask.body.get("max_tokens")
    params = {
        **ask.body,
        "model": ask.model,
        "max_tokens": ask.max_tokens if bound is None else bound,
        "system": system,
        "messages": turns or ask.body.get("messages"),
        "tools": [_tool(tool) for tool in ask.tools] or ask.body.get("tools"),
        **ask.params,
    }
    if ask.output is not None:
        params |= _shaped(ask.output, params)
    if isinstance(params["messages"], list):
        params["messages"] = [_turn(turn) for turn in params["messages"]]
    params = marked(params, ask)
    return {name: value for name, value in params.items() if value is not None and name != "betas"}


def betas_of(ask: Ask) -> set[str]:
    """Return the beta features that *ask* names, as it would to the SDK. They belong into the header of the batch."""
    return {name for part in (ask.body, ask.params) for name in names(part.get("betas"))}


def names(value: Any) -> list[str]:
    """Return the names in a list, or in a text in which commas stand between them."""
    found: Iterable[Any] = value.split(",") if isinstance(value, str) else value or ()
    return [name for name in (str(item).strip() for item in found) if name]


def check(params: Mapping[str, Any]) -> None:
    """Refuse what a batch would refuse.

    :raises InputError: A parameter is missing, or may not be in a batch.
    """
    if not params.get("messages"):
        raise InputError("an Anthropic request needs messages, and there are none. Nothing was sent.")
    bound = params.get("max_tokens")
    if bound is None:
        raise InputError("max_tokens is required by Anthropic and may not be None. Nothing was sent. Set it.")
    if not isinstance(bound, int) or bound < 1:
        raise InputError(
            f"max_tokens {bound!r}: an Anthropic batch takes a whole number of at least 1. Nothing was sent. "
            "A prompt cache cannot be warmed with 0 in a batch."
        )
    refused = [name for name in NOT_IN_BATCH if name in params] + (["stream"] if params.get("stream") else [])
    if refused:
        raise InputError(f"{', '.join(refused)}: not in an Anthropic batch. Nothing was sent. Leave it out.")


def check_sampling(params: Mapping[str, Any], version: str) -> None:
    """Refuse the parameters that the API *version* has dropped.

    :raises InputError: There is one of them.
    """
    found = [name for name in SAMPLING if name in params]
    if found and version >= SAMPLING_ENDS:
        raise InputError(
            f"{', '.join(found)}: API version {version} of Anthropic does not know it any more. Nothing was sent. "
            "Leave it out, or pin an older version in the connection's extra: "
            '{"client_kwargs": {"default_headers": {"anthropic-version": "2023-06-01"}}}.'
        )


def _split_system(ask: Ask) -> tuple[Any, list[dict[str, Any]]]:
    """Move system turns to where Anthropic wants them: a parameter of its own."""
    texts = [
        ask.system,
        *(turn["content"] for turn in ask.messages if turn["role"] in SYSTEM_ROLES),
    ]
    turns = [turn for turn in ask.messages if turn["role"] not in SYSTEM_ROLES]
    system = [text for text in texts if text]
    if len(system) > 1:
        blocks = [text if isinstance(text, list) else [{"type": "text", "text": text}] for text in system]
        return [block for several in blocks for block in several], turns
    return (system[0] if system else ask.body.get("system")), turns


def _shaped(output: OutputSchema, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that hold the answer to its schema, or tell the model where it cannot be held to it.

    A format that the user writes wins. An answer that was only told its schema is validated like any other.
    """
    config = params.get("output_config") or {}
    if config.get("format"):
        return {}
    schema = fitted(output.wire)
    if schema is not None:
        return {"output_config": {**config, "format": {"type": "json_schema", "schema": schema}}}
    told = _TELL + msgspec.json.encode(dict(output.wire)).decode()
    system = params.get("system")
    if isinstance(system, list):
        return {"system": [*system, {"type": "text", "text": told}]}
    return {"system": f"{system}\n\n{told}" if system else told}


def _tool(tool: Tool) -> Mapping[str, Any]:
    if tool.raw is not None:
        return tool.raw
    named = {"name": tool.name} | ({"description": tool.description} if tool.description else {})
    schema = fitted(tool.parameters) if tool.is_strict else None
    if schema is None:
        return named | {"input_schema": tool.parameters}
    return named | {"input_schema": schema, "strict": True}


def _turn(turn: Any) -> Any:
    content = turn.get("content") if isinstance(turn, Mapping) else None
    return {**turn, "content": [_block(block) for block in content]} if isinstance(content, list) else turn


def _block(block: Any) -> Any:
    """Write the source of a picture or document, where it is a text, as Anthropic wants it; leave the rest alone."""
    if not isinstance(block, Mapping) or block.get("type") not in _MEDIA_TYPES:
        return block
    source = block.get("source")
    return {**block, "source": _source(source, block["type"])} if isinstance(source, str) else block


def _source(text: str, kind: str) -> dict[str, str]:
    """Tell a URL, a data URL and a file id apart. A file id needs no beta any more: SDK 2.12 asks for none either."""
    if text.startswith(("https://", "http://")):
        return {"type": "url", "url": text}
    data = _DATA_URL.fullmatch(text)
    if data and data["type"].lower() in _MEDIA_TYPES[kind]:
        return _inline(data["type"].lower(), data["data"])
    if _FILE_ID.fullmatch(text):
        return {"type": "file", "file_id": text}
    raise InputError(
        f"the source of a content block of type {kind!r} is none that Anthropic takes. Nothing was sent. It takes an "
        f"https:// URL, a data: URL in base64 ({', '.join(_MEDIA_TYPES[kind])}), or the id of an uploaded file."
    )


def _inline(media_type: str, data: str) -> dict[str, str]:
    if media_type != "text/plain":
        return {"type": "base64", "media_type": media_type, "data": data}
    try:
        return {"type": "text", "media_type": media_type, "data": base64.b64decode(data).decode()}
    except ValueError:
        raise InputError("a text document's data: URL is no base64 of UTF-8 text. Nothing was sent.") from None


# -- one that was asked before ---------------------------------------------------------------------------------------


def changed(params: msgspec.Raw, change: Change) -> msgspec.Raw:
    """Return *params* changed as *change* says. What it does not name stays byte for byte."""
    if change == SAME:
        return params
    parts = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
    new: dict[str, Any] = {"model": change.model, "max_tokens": change.max_tokens}
    if change.turns:
        new["messages"] = [*msgspec.json.decode(parts["messages"], type=list[msgspec.Raw]), *change.turns]
    return msgspec.Raw(msgspec.json.encode({**parts, **{name: part for name, part in new.items() if part is not None}}))


def cap_of(params: msgspec.Raw) -> int | None:
    """Return the ``max_tokens`` of *params*."""
    bound = msgspec.json.decode(params, type=dict[str, msgspec.Raw]).get("max_tokens")
    return None if bound is None else msgspec.json.decode(bound, type=int)
