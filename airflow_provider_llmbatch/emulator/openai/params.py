"""How parameters are checked, and the words in which they are refused (codes: FACTS §1.6)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from airflow_provider_llmbatch.emulator.mind.ask import Ask, Tool
from airflow_provider_llmbatch.emulator.mind.wellformed import find_mistake
from airflow_provider_llmbatch.emulator.openai import models
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.prompt_cache import PromptCache
from airflow_provider_llmbatch.emulator.usage import Usage
from airflow_provider_llmbatch.emulator.wire import OpenAIError

Body = Mapping[str, Any]
MAX_OUTPUT_TOKENS = 128_000
CACHE_SECONDS = 1_800.0
"""How long a prefix is remembered: 30 minutes (FACTS §1.9)."""

_NAMES: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_DATA_URL = re.compile(r"data:([\w/+.-]+);base64,")
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp")


class Rules(NamedTuple):
    """What a body is checked against."""

    options: Options
    knows_file: Callable[[str], bool]
    """Whether a file id exists."""
    in_batch: bool


class Turn(NamedTuple):
    """The circumstances of one answer."""

    options: Options
    cache: PromptCache
    mark: str
    """64 hexadecimal digits that are this answer's own: its ids come from them."""
    now: float
    """Emulated time, for the cache."""
    created: int
    """Wall time, epoch seconds."""
    twist: str = ""


class Written(NamedTuple):
    """An answer: the body and what it cost."""

    body: dict[str, Any]
    usage: Usage


def bad(message: str, param: str | None, code: str) -> OpenAIError:
    """Make a 400."""
    return OpenAIError(400, message, param=param, code=code)


def describe(value: Any) -> str:
    """Name the type of *value* as the API does."""
    return _NAMES.get(type(value), type(value).__name__)


def check_known(body: Body, known: Collection[str]) -> None:
    """Refuse a parameter that the endpoint does not have."""
    for name in body:
        if name not in known:
            raise bad(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def need(body: Body, name: str, *kinds: type, path: str = "") -> Any:
    """Return a required parameter."""
    value = body.get(name)
    where = f"{path}{name}"
    if value is None:
        raise bad(f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
    return typed(value, where, *kinds)


def typed(value: Any, where: str, *kinds: type) -> Any:
    """Return *value*, which must be one of *kinds*."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(_NAMES[kind] for kind in kinds)
        text = f"Invalid type for '{where}': expected {wanted}, but got {describe(value)} instead."
        raise bad(text, where, "invalid_type")
    return value


def one_of(value: Any, where: str, allowed: Collection[str]) -> Any:
    """Return *value*, which must be one of the *allowed* ones."""
    if value not in allowed:
        names = ", ".join(f"'{name}'" for name in allowed)
        raise bad(f"Invalid value: '{value}'. Supported values are: {names}.", where, "invalid_value")
    return value


def whole(body: Body, name: str, low: int, high: int) -> int | None:
    """Return an optional integer within bounds."""
    value = body.get(name)
    if value is None:
        return None
    typed(value, name, int)
    if value < low:
        text = f"Invalid '{name}': integer below minimum value. Expected a value >= {low}, but got {value} instead."
        raise bad(text, name, "integer_below_min_value")
    if value > high:
        text = f"Invalid '{name}': integer above maximum value. Expected a value <= {high}, but got {value} instead."
        raise bad(text, name, "integer_above_max_value")
    return int(value)


def sampling(body: Body) -> None:
    """Check temperature and its kind."""
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("frequency_penalty", -2, 2),
        ("presence_penalty", -2, 2),
    ):
        value = body.get(name)
        if value is not None and not low <= typed(value, name, int, float) <= high:
            raise bad(f"Unsupported value: '{name}' does not support {value}.", name, "unsupported_value")


def known_model(body: Body, rules: Rules) -> str:
    """Return the model, which must exist and must not be asked to stream in a batch."""
    model: str = need(body, "model", str)
    if not models.is_known(model, rules.options):
        raise models.unknown(model)
    if body.get("stream") and rules.in_batch:
        raise bad("Streaming is not supported in the Batch API.", "stream", "unsupported_value")
    return model


def check_metadata(metadata: Any) -> None:
    """Check the pairs that a user may attach (FACTS §1.1)."""
    if metadata is None:
        return
    typed(metadata, "metadata", dict)
    if len(metadata) > 16:
        text = f"Invalid 'metadata': too many properties. Expected an object with at most 16, but got {len(metadata)}."
        raise bad(text, "metadata", "object_above_max_properties")
    for key, value in metadata.items():
        where = f"metadata.{key}"
        typed(value, where, str)
        for text, most, what in ((key, 64, "metadata"), (value, 512, where)):
            if len(text) > most:
                message = f"Invalid '{what}': string too long. Expected at most {most} characters, got {len(text)}."
                raise bad(message, what, "string_above_max_length")


def check_image(url: Any, where: str) -> None:
    """Check an image that is given by URL or inline."""
    typed(url, where, str)
    if url.startswith(("https://", "http://")):
        return
    found = _DATA_URL.match(url)
    if not found:
        raise bad(f"Invalid image URL in '{where}': expected an http(s) or a data URL.", where, "invalid_image_url")
    if found.group(1) not in _IMAGE_TYPES:
        text = f"Invalid MIME type '{found.group(1)}'. Only image types are supported."
        raise bad(text, where, "unsupported_image_media_type")
    check_base64(url[found.end() :], where, "invalid_base64_image")


def check_base64(data: Any, where: str, code: str) -> None:
    """Check that *data* is base64 of something."""
    try:
        decoded = base64.b64decode(typed(data, where, str), validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded:
        raise bad(f"Invalid base64 data in '{where}'.", where, code)


def check_file(file_id: Any, where: str, rules: Rules, code: str = "file_not_found") -> None:
    """Check that an uploaded file is there."""
    if not rules.knows_file(typed(file_id, where, str)):
        raise bad(f"No such File object: {file_id}", where, code)


def check_context(ask: Ask, rules: Rules, where: str) -> None:
    """Refuse a prompt that does not fit the model."""
    if ask.tokens > rules.options.context_tokens:
        text = (
            f"This model's maximum context length is {rules.options.context_tokens} tokens. However, your {where} "
            f"resulted in {ask.tokens} tokens. Please reduce the length of the {where}."
        )
        raise bad(text, where, "context_length_exceeded")


def make_tool(function: Any, where: str) -> Tool:
    """Read the definition of a function."""
    typed(function, where, dict)
    name = need(function, "name", str, path=f"{where}.")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        text = f"Invalid '{where}.name': string does not match pattern '^[a-zA-Z0-9_-]+$' of at most 64 characters."
        raise bad(text, f"{where}.name", "invalid_value")
    schema = function.get("parameters") or {"type": "object"}
    mistake = find_mistake(schema)
    if mistake:
        raise bad(
            f"Invalid schema for function '{name}': {mistake}.", f"{where}.parameters", "invalid_function_parameters"
        )
    return Tool(name, schema, str(function.get("description") or ""))


def encode(document: Any) -> str:
    """Write *document* as compact JSON text."""
    return msgspec.json.encode(document).decode()


def cached(ask: Ask, turn: Turn) -> tuple[int, int]:
    """Return how many prompt tokens come from the cache and how many are written to it."""
    if not turn.options.cache:
        return 0, 0
    read, written = turn.cache.automatic(ask.model, ask.prompt, turn.now, CACHE_SECONDS)
    return read, written if models.writes_cache(ask.model) else 0
