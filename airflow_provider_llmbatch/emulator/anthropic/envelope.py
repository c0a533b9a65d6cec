"""The body that creates a batch: from the network to disk, then item by item, never whole in memory (FACTS §2.1)."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request

from airflow_provider_llmbatch.emulator.anthropic.params import bad
from airflow_provider_llmbatch.emulator.anthropic.scanner import Scanner
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.wire import AnthropicError
from airflow_provider_llmbatch.emulator.work import save_offsets

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BUFFER = 1 << 20


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
    offsets = array("Q", [0])
    state = hashlib.sha256()
    seen: set[str] = set()
    decoder = msgspec.json.Decoder(Item)
    with source.open("rb") as stream, (folder / "requests").open("wb", _BUFFER) as out:
        for number, item in enumerate(_items(Scanner(stream))):
            if number < options.anthropic_max_requests:
                line = item + b"\n"
                _check_item(decoder, line, number, seen)
                state.update(line)
                offsets.append(offsets[-1] + out.write(line))
    total = number + 1
    if total > options.anthropic_max_requests:
        raise bad(f"requests: List should have at most {options.anthropic_max_requests} items, not {total}")
    save_offsets(folder, offsets)
    return Envelope(total, state.hexdigest())


def _items(scanner: Scanner) -> Iterator[bytes]:
    """Yield the items of ``{"requests": [...]}``, at least one."""
    try:
        scanner.take(b"{")
        if scanner.peek() == b"}":
            raise bad("requests: Field required")
        _take_key(scanner)
        if scanner.peek() != b"[":
            raise bad("requests: Input should be a valid list")
        scanner.take(b"[")
        if scanner.peek() == b"]":
            raise bad("requests: List should have at least 1 item after validation, not 0")
        yield scanner.value()
        while scanner.take(b",", b"]") == b",":
            yield scanner.value()
        while scanner.take(b"}", b",") == b",":
            _take_key(scanner)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad(f"The request body is not valid JSON: {error}") from None
    if scanner.peek():
        raise bad("The request body is not valid JSON: trailing characters")


def _take_key(scanner: Scanner) -> None:
    """Go past ``"requests":``, the only key there is."""
    key = msgspec.json.decode(scanner.value(), type=str)
    if key != "requests":
        raise bad(f"{key}: Extra inputs are not permitted")
    scanner.take(b":")


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
