"""The body that creates a batch: from the network to disk, then item by item, never whole in memory (FACTS §2.1)."""

from __future__ import annotations

import hashlib
import mmap
import re
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request

from airflow_provider_llmbatch.emulator.anthropic.params import bad
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.wire import AnthropicError
from airflow_provider_llmbatch.emulator.work import save_offsets

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BUFFER = 1 << 20


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    # Raw items point into the mapped file: 100,000 of them cost some 15 MB.
    requests: list[msgspec.Raw]


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One request."""

    custom_id: Any = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Envelope(NamedTuple):
    """What is known of a body once it has been split."""

    total: int
    sha256: str
    """Of the items as they were sent, each followed by a newline."""


async def receive(request: Request, target: Path, most: int) -> None:
    """Write the body to *target* as it comes in; refuse it as soon as it is too large."""
    size = 0
    with target.open("wb") as out:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise AnthropicError(413, "Request exceeds the maximum size")
            out.write(piece)


def split(source: Path, folder: Path, options: Options) -> Envelope:
    """Check the envelope in *source* and write its items to *folder*."""
    if source.stat().st_size == 0:
        raise bad("requests: Field required")
    with source.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    items = _items(mapped)
    _check_count(len(items), options.anthropic_max_requests)
    offsets = array("Q", [0])
    state = hashlib.sha256()
    seen: set[str] = set()
    decoder = msgspec.json.Decoder(Item)
    with (folder / "requests").open("wb", _BUFFER) as out:
        for number, raw in enumerate(items):
            line = bytes(raw) + b"\n"
            _check_item(decoder, line, number, seen)
            state.update(line)
            offsets.append(offsets[-1] + out.write(line))
    save_offsets(folder, offsets)
    return Envelope(len(items), state.hexdigest())


def _items(mapped: mmap.mmap) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(mapped, type=_Body).requests
    except msgspec.ValidationError as error:
        raise bad(_explain(str(error))) from None
    except msgspec.DecodeError as error:
        raise bad(f"The request body is not valid JSON: {error}") from None


def _explain(error: str) -> str:
    unknown = re.search(r"unknown field `(.+?)`", error)
    if unknown:
        return f"{unknown.group(1)}: Extra inputs are not permitted"
    return "requests: Field required" if "missing required" in error else "requests: Input should be a valid list"


def _check_count(count: int, most: int) -> None:
    if count == 0:
        raise bad("requests: List should have at least 1 item after validation, not 0")
    if count > most:
        raise bad(f"requests: List should have at most {most} items after validation, not {count}")


def _check_item(decoder: msgspec.json.Decoder[Item], line: bytes, number: int, seen: set[str]) -> None:
    where = f"requests.{number}"
    try:
        item = decoder.decode(line)
    except msgspec.ValidationError as error:
        unknown = re.search(r"unknown field `(.+?)`", str(error))
        text = f".{unknown.group(1)}: Extra inputs are not permitted" if unknown else ": Input should be an object"
        raise bad(where + text) from None
    _check_custom_id(item.custom_id, f"{where}.custom_id")
    if isinstance(item.params, msgspec.UnsetType):
        raise bad(f"{where}.params: Field required")
    if not bytes(item.params).startswith(b"{"):
        raise bad(f"{where}.params: Input should be an object")
    if item.custom_id in seen:
        raise bad(f"{where}.custom_id: custom_id must be unique within a batch, found '{item.custom_id}' twice")
    seen.add(item.custom_id)


def _check_custom_id(custom_id: Any, where: str) -> None:
    if custom_id is msgspec.UNSET:
        raise bad(f"{where}: Field required")
    if not isinstance(custom_id, str):
        raise bad(f"{where}: Input should be a valid string")
    if len(custom_id) > 64:
        raise bad(f"{where}: String should have at most 64 characters")
    if not custom_id:
        raise bad(f"{where}: String should have at least 1 character")
    if not _CUSTOM_ID.fullmatch(custom_id):
        raise bad(f"{where}: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
