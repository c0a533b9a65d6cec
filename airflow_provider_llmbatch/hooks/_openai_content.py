"""Parts of a turn: from words that are no vendor's to those of an endpoint.

A part ``{"type": "image" | "document", "source": text}`` is ours, and its source is an URL, a ``data:`` URL or the id
of an uploaded file. A part in the vendor's own words passes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from mimetypes import MimeTypes
from typing import Any, TypeAlias

from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, MODERATIONS, RESPONSES

_KINDS = {
    "URL": re.compile(r"https?://"),
    "data: URL": re.compile(r"data:([^;,]+)[^,]*;base64,"),
    "file id": re.compile(r"[A-Za-z0-9_-]{1,128}\Z"),
}

_Table: TypeAlias = Mapping[tuple[str, str], Callable[[str], dict[str, Any]]]


def translate(turn: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """Return *turn* with its parts in the words of *endpoint*.

    :raises InputError: The endpoint does not take such a part.
    """
    content = turn.get("content")
    if endpoint == RESPONSES and (turn.get("role") == "tool" or turn.get("tool_calls")):
        raise InputError(
            f"{RESPONSES} takes calls of tools and their results as items of `input`, not as turns. Nothing was sent. "
            f"Give them in body={{'input': […]}}, or state endpoint={CHAT!r}."
        )
    if not isinstance(content, list):
        return dict(turn)
    parts = [_part(part, endpoint) for part in content]
    if endpoint == RESPONSES and turn.get("role") == "assistant" and all(map(_is_input_text, parts)):
        return {**turn, "content": "\n".join(part["text"] for part in parts)}  # it takes no parts that it did not make
    return {**turn, "content": parts}


def text_of(content: Any, endpoint: str) -> Any:
    """Return the input of an endpoint that takes no turns: text, texts or token numbers.

    :raises InputError: There is more than text in it.
    """
    if not isinstance(content, list) or not any(isinstance(part, Mapping) for part in content):
        return content
    if endpoint == MODERATIONS:
        return [_part(part, endpoint) for part in content]
    if all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "\n".join(part["text"] for part in content)
    raise InputError(f"{endpoint} takes text only, and a record has other parts. Nothing was sent. Leave them out.")


def _part(part: Any, endpoint: str) -> Any:
    if not isinstance(part, Mapping):
        return part
    if part.get("type") == "text" and endpoint == RESPONSES:
        return {**part, "type": "input_text"}
    if part.get("type") not in ("image", "document") or not isinstance(part.get("source"), str):
        return part
    kind, source = _kind(part["source"]), part["source"]
    make = _TABLES[endpoint].get((part["type"], kind))
    if make is None:
        raise InputError(
            f"{endpoint} takes no {part['type']} by {kind}. Nothing was sent. {RESPONSES} does: state "
            f"endpoint={RESPONSES!r}."
        )
    more = {name: value for name, value in part.items() if name not in ("type", "source")}
    return {**make(source), **more}


def _is_input_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "input_text"


def _kind(source: str) -> str:
    """Return what *source* is; its text is the record's, so a message does not repeat it."""
    for kind, pattern in _KINDS.items():
        if pattern.match(source):
            return kind
    raise InputError(
        "the source of an image or a document is neither an https URL, nor a data: URL in base64, nor the id of an "
        "uploaded file. Nothing was sent. The vendor cannot read a path of yours: send the file as a data: URL."
    )


def _filename(url: str) -> str:
    """Return a name for the document in *url*, by whose ending the vendor tells what it is."""
    found = _KINDS["data: URL"].match(url)
    ending = _TYPES.guess_extension(found.group(1)) if found else None
    return f"document{ending or ''}"


_TYPES = MimeTypes()
"""Python's own list, not this machine's: the same record makes the same bytes everywhere."""


def _image_url(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _input_image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


_TABLES: dict[str, _Table] = {
    CHAT: {
        ("image", "URL"): _image_url,
        ("image", "data: URL"): _image_url,
        ("document", "data: URL"): lambda url: {"type": "file", "file": {"filename": _filename(url), "file_data": url}},
        ("document", "file id"): lambda file_id: {"type": "file", "file": {"file_id": file_id}},
    },
    RESPONSES: {
        ("image", "URL"): _input_image,
        ("image", "data: URL"): _input_image,
        ("image", "file id"): lambda file_id: {"type": "input_image", "file_id": file_id, "detail": "auto"},
        ("document", "URL"): lambda url: {"type": "input_file", "file_url": url},
        ("document", "data: URL"): lambda url: {"type": "input_file", "filename": _filename(url), "file_data": url},
        ("document", "file id"): lambda file_id: {"type": "input_file", "file_id": file_id},
    },
    MODERATIONS: {
        ("image", "URL"): _image_url,
        ("image", "data: URL"): _image_url,
    },
}
