"""How parameters are checked, and the words in which they are refused (A-REF pages; FACTS §2.9)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import AnthropicError

Body = Mapping[str, Any]
NEW_VERSION = "2026-10-21"
_NAMES: dict[type, str] = {
    str: "a valid string",
    int: "a valid integer",
    float: "a valid number",
    bool: "a valid boolean",
    list: "a valid list",
    dict: "an object",
}


class Rules(NamedTuple):
    """What a body is checked against."""

    options: Options
    knows_file: Callable[[str], bool]
    in_batch: bool
    version: str
    betas: tuple[str, ...] = ()


class Turn(NamedTuple):
    """The circumstances of one answer."""

    options: Options
    cache: PromptCache
    mark: str
    """64 hexadecimal digits that are this answer's own: its ids come from them."""
    now: float
    """Emulated time, for the cache."""
    tier: str
    """Service tier that the usage names."""
    twist: str = ""


class Written(NamedTuple):
    """An answer: the message and what it cost."""

    body: dict[str, Any]
    usage: Usage


def bad(message: str) -> AnthropicError:
    """Make a 400."""
    return AnthropicError(400, message)


def need(body: Body, name: str, *kinds: type, path: str = "") -> Any:
    """Return a required parameter."""
    if name not in body:
        raise bad(f"{path}{name}: Field required")
    return typed(body[name], f"{path}{name}", *kinds)


def typed(value: Any, where: str, *kinds: type) -> Any:
    """Return *value*, which must be one of *kinds*."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_NAMES[kind] for kind in kinds)
        raise bad(f"{where}: Input should be {wanted}")
    return value


def one_of(value: Any, where: str, allowed: Collection[str]) -> Any:
    """Return *value*, which must be one of the *allowed* ones."""
    if value not in allowed:
        *most, last = (f"'{name}'" for name in allowed)
        names = f"{', '.join(most)} or {last}" if most else last
        raise bad(f"{where}: Input should be {names}")
    return value


def check_known(body: Body, known: Collection[str]) -> None:
    """Refuse a parameter that the endpoint does not have."""
    for name in body:
        if name not in known:
            raise bad(f"{name}: Extra inputs are not permitted")


def check_base64(data: str, where: str) -> None:
    """Check that *data* is base64 of something."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded:
        raise bad(f"{where}: Invalid base64 data")


def sampling(body: Body, rules: Rules) -> None:
    """Check temperature and its kind, which the newest API version has dropped (FACTS §2.1)."""
    for name, high in (("temperature", 1), ("top_p", 1), ("top_k", None)):
        value = body.get(name)
        if value is None:
            continue
        if rules.version >= NEW_VERSION:
            raise bad(f"{name}: Extra inputs are not permitted in API version {rules.version}")
        typed(value, name, int, float)
        if value < 0 or (high is not None and value > high):
            word = "greater than or equal to 0" if value < 0 else f"less than or equal to {high}"
            raise bad(f"{name}: Input should be {word}")
