"""What a strict JSON schema may contain (structured outputs; O-DOC, guide *Structured model outputs*)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_llmbatch.emulator.mind.wellformed import find_mistake
from airflow_provider_llmbatch.emulator.openai.params import bad, need, typed
from airflow_provider_llmbatch.emulator.wire import OpenAIError

_FORBIDDEN = frozenset(
    (
        *("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf"),
        *("minLength", "maxLength", "uniqueItems", "patternProperties", "default"),
    )
)
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")


def check_format(form: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check ``{"name", "schema", "strict"}`` and return the schema."""
    name = need(form, "name", str, path=f"{where}.")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        text = f"Invalid '{where}.name': string does not match pattern '^[a-zA-Z0-9_-]+$' of at most 64 characters."
        raise bad(text, f"{where}.name", "invalid_value")
    schema = form.get("schema")
    if schema is None:
        return {"type": "object"}
    typed(schema, f"{where}.schema", dict)
    mistake = find_mistake(schema)
    if mistake:
        raise _invalid(name, (), mistake, where)
    if form.get("strict"):
        if schema.get("type") != "object":
            kind = schema.get("type")
            raise _invalid(
                name, (), f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'", where
            )
        _check(schema, name, (), where)
    return dict(schema)


def _check(schema: Any, name: str, path: tuple[str, ...], where: str) -> None:
    if not isinstance(schema, dict):
        return
    _check_keywords(schema, name, path, where)
    if "properties" in schema or schema.get("type") == "object":
        _check_object(schema, name, path, where)
    for keyword in ("properties", "$defs", "definitions"):
        for key, value in schema.get(keyword, {}).items():
            _check(value, name, (*path, keyword, key), where)
    for option in schema.get("anyOf", ()):
        _check(option, name, (*path, "anyOf"), where)
    if "items" in schema:
        _check(schema["items"], name, (*path, "items"), where)


def _check_keywords(schema: dict[str, Any], name: str, path: tuple[str, ...], where: str) -> None:
    for keyword in schema:
        if keyword in _FORBIDDEN:
            raise _invalid(name, path, f"'{keyword}' is not permitted", where)
    if "$ref" in schema and len(schema) > 1:
        beside = next(keyword for keyword in schema if keyword != "$ref")
        raise _invalid(name, path, f"$ref cannot have keywords {{'{beside}'}}", where)
    if _LOOK_AROUND.search(str(schema.get("pattern", ""))):
        raise _invalid(name, path, "'pattern' must not look around", where)


def _check_object(schema: dict[str, Any], name: str, path: tuple[str, ...], where: str) -> None:
    if schema.get("additionalProperties") is not False:
        raise _invalid(name, path, "'additionalProperties' is required to be supplied and to be false", where)
    missing = [key for key in schema.get("properties", {}) if key not in schema.get("required", ())]
    if missing:
        text = (
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{missing[0]}'"
        )
        raise _invalid(name, path, text, where)


def _invalid(name: str, path: tuple[str, ...], text: str, where: str) -> OpenAIError:
    context = "(" + ", ".join(f"'{part}'" for part in path) + ("," if len(path) == 1 else "") + ")"
    message = f"Invalid schema for response_format '{name}': In context={context}, {text}."
    return bad(message, where.removesuffix(".json_schema"), "invalid_json_schema")
