"""JSON Schemas within the subset to which Anthropic can hold an answer or the arguments of a call.

The subset is what ``transform_schema`` of SDK 2.12 lets through (``anthropic/lib/_parse/_transform.py``), without
recursion (https://platform.claude.com/docs/en/build-with-claude/structured-outputs). Not that function itself: other
releases of the SDK write other bytes, and it closes an object of unknown keys, which then comes back empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

_DEFINITIONS = ("$defs", "definitions")
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
_SAYS_NOTHING = {"$schema", "$id", "$comment", "default", "discriminator", "deprecated", "readOnly", "writeOnly"}
"""Keywords that tell the model nothing about its answer."""


class _Misfit(Exception):
    """A schema says something that the subset has no words for."""


def fitted(schema: Mapping[str, Any]) -> msgspec.Raw | None:
    """Return *schema* as JSON within the subset, made once per schema; ``None``: it would be another schema.

    Bounds and patterns move into descriptions, where the model may heed them; the validation of the answer catches the
    rest. What may hold any value or any key, or contains itself, cannot be said.
    """
    return _fitted(msgspec.json.encode(dict(schema)))


@lru_cache(maxsize=64)
def _fitted(schema: bytes) -> msgspec.Raw | None:
    try:
        found = _fit(msgspec.json.decode(schema))
    except _Misfit:
        return None
    return msgspec.Raw(msgspec.json.encode(found)) if _leads_to_an_end(found) else None


def _fit(schema: Any) -> dict[str, Any]:
    rest = _one_type_each(dict(schema) if isinstance(schema, dict) else {})
    made: dict[str, Any] = {
        name: {key: _fit(part) for key, part in rest.pop(name).items()} for name in _DEFINITIONS if name in rest
    }
    if "$ref" in rest:
        return made | {"$ref": rest["$ref"]}
    made |= _shape(rest)
    made |= {name: rest.pop(name) for name in ("title", "description") if name in rest}
    notes = {name: value for name, value in rest.items() if name not in _SAYS_NOTHING}
    if notes:
        said = [made["description"]] if made.get("description") else []
        made["description"] = "\n\n".join([*said, msgspec.json.encode(notes).decode()])
    return made


def _one_type_each(schema: dict[str, Any]) -> dict[str, Any]:
    """Write a list of types as the alternatives that it is."""
    kinds = schema.get("type")
    if not isinstance(kinds, list) or "enum" in schema or "const" in schema:
        return schema
    of_all = {name: schema.pop(name) for name in (*_DEFINITIONS, "title", "description") if name in schema}
    return of_all | {"anyOf": [{"type": kind} if kind == "null" else schema | {"type": kind} for kind in kinds]}


def _shape(rest: dict[str, Any]) -> dict[str, Any]:
    """Take what a schema says about the kind of its values out of *rest*, and return it."""
    kind = rest.pop("type", None)
    if (values := rest.get("enum")) and all(map(_is_plain, values)):
        return {"enum": rest.pop("enum")}
    if "const" in rest and _is_plain(rest["const"]):
        return {"const": rest.pop("const")}
    for name in ("anyOf", "oneOf", "allOf"):
        if name in rest:
            return {"allOf" if name == "allOf" else "anyOf": [_fit(part) for part in rest.pop(name)]}
    if kind == "object" or "properties" in rest:
        return {"type": "object"} | _fields(rest)
    if kind == "array" or "items" in rest or "prefixItems" in rest:
        return {"type": "array"} | _items(rest)
    if kind is None:
        raise _Misfit
    known = {"format": rest.pop("format")} if kind == "string" and rest.get("format") in _FORMATS else {}
    return {"type": kind} | known


def _fields(rest: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an object, which takes no other ones."""
    fields = rest.pop("properties", None) or {}
    is_open = rest.pop("additionalProperties", True) is not False
    if is_open and not fields:
        raise _Misfit
    required = {"required": rest.pop("required")} if "required" in rest else {}
    parts = {name: _fit(part) for name, part in fields.items()}
    return {"properties": parts, "additionalProperties": False} | required


def _items(rest: dict[str, Any]) -> dict[str, Any]:
    """Return the items of an array. Those of a tuple may be of any of its types, in any place."""
    places = rest.pop("prefixItems", None) or []
    items = rest.pop("items", None)
    kinds = [_fit(part) for part in places] + ([_fit(items)] if items or not places else [])
    several = [kind for number, kind in enumerate(kinds) if kind not in kinds[:number]]
    least = {"minItems": rest.pop("minItems")} if rest.get("minItems") in (0, 1) else {}
    return {"items": several[0] if len(several) == 1 else {"anyOf": several}} | least


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _leads_to_an_end(schema: dict[str, Any]) -> bool:
    """Return whether every reference leads to a definition, and none back to where it stands.

    Take away the definitions that lead nowhere until none is left: those that stay contain themselves.
    """
    leads = {
        f"#/{name}/{key}": set(_references(part)) for name in _DEFINITIONS for key, part in schema.get(name, {}).items()
    }
    known = set(_references(schema)) <= leads.keys()
    while ends := [name for name, targets in leads.items() if not targets & leads.keys()]:
        for name in ends:
            del leads[name]
    return known and not leads


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
