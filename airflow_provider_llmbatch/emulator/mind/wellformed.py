"""Tell a JSON schema from something that merely looks like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")


def find_mistake(schema: Any, path: str = "") -> str | None:
    """Return what is wrong with *schema*, or ``None``.  What we do not know we do not judge."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{path or 'schema'} is not an object"
    for keyword, value in schema.items():
        where = f"{path}.{keyword}" if path else keyword
        if keyword in _FORMS and not _FORMS[keyword](value):
            return f"{where} has an invalid value"
        for name, inner in _inner(keyword, value):
            mistake = find_mistake(inner, f"{where}.{name}" if name else where)
            if mistake:
                return mistake
    return None


def _inner(keyword: str, value: Any) -> list[tuple[str, Any]]:
    """Return the schemas inside a keyword's value."""
    if keyword in _MAPS:
        return [(str(name), inner) for name, inner in value.items()]
    if keyword in _LISTS:
        return [(str(number), inner) for number, inner in enumerate(value)]
    return [("", value)] if keyword in ("items", "additionalProperties", "not") else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_type(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else _is_texts(value) and all(one in TYPES for one in value)


def _is_full(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_FORMS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_MAPS, lambda value: isinstance(value, dict)),
    **dict.fromkeys((*_LISTS, "enum"), _is_full),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("pattern", "format", "$ref", "title", "description"), _is_text),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "required": _is_texts,
    "type": _is_type,
}
