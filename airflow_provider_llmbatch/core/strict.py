"""The strict subset of JSON Schema: what a vendor can hold a model to, token by token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from airflow_provider_llmbatch.core.references import DEFINITIONS, NOTES, resolve

_MAX_COPIES = 3  # definitions copied into one another, so that a schema stays small

# What OpenAI's strict mode takes: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
# It refuses `minLength`, `maxLength` and `uniqueItems`, look-around in a pattern, and anything next to a `$ref`.
_NUMBER = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "string": ("pattern", "format"),
    "number": _NUMBER,
    "integer": _NUMBER,
    "array": ("items", "minItems", "maxItems"),
    "object": ("properties", "required", "additionalProperties"),
}
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_UNSENDABLE = re.compile(r"\(\?<?[=!]|\(\?P=|\\[1-9]")  # look-around and back-references in a pattern


class _LooseError(Exception):
    """A schema says something that the strict subset has no word for."""


def strict_form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the form of *schema* (checked, its root an object) that keeps to the strict subset, if it has one.

    Whatever satisfies it satisfies *schema*; the reverse does not hold. Objects are closed, and every property is
    required: **the model then always writes an optional one, too**. Defaults and remarks that a validator ignores are
    left out. A keyword that constrains and cannot be said is never dropped: then there is no strict form.
    """
    maker = _Strict(schema)
    try:
        strict = maker.make(schema)
        for name in sorted(DEFINITIONS & schema.keys()):
            strict[name] = {key: maker.make(inner) for key, inner in schema[name].items()}
    except _LooseError:
        return None
    return strict


class _Strict:
    """Makes the strict form of the schema *root* and its parts."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        from jsonschema import Draft202012Validator

        self._root = root
        self._open: list[str] = []
        self._constraining = {*Draft202012Validator.VALIDATORS, "$id"}

    def make(self, schema: Any) -> dict[str, Any]:
        """Return the strict form of a part."""
        if not isinstance(schema, Mapping):
            raise _LooseError
        notes = {name: schema[name] for name in NOTES if name in schema}
        said = {name: value for name, value in schema.items() if name in self._constraining}
        match list(said.items()):
            case [("$ref", ref)]:
                return self._reference(ref, notes)
            case [("allOf", [Mapping() as one])]:
                return self.make({**one, **notes})
            case [("anyOf", options)]:
                return {"anyOf": [self.make(option) for option in options], **notes}
            case [("oneOf", options)] if all(self._are_apart(*pair) for pair in combinations(options, 2)):
                return {"anyOf": [self.make(option) for option in options], **notes}
        return {**self._typed(said), **notes}

    def _reference(self, ref: str, notes: dict[str, Any]) -> dict[str, Any]:
        """Nothing may stand next to a ``$ref``: what it stands for is copied there, except inside of itself."""
        if not re.fullmatch(r"#|#/(\$defs|definitions)/[^/]+", ref):
            raise _LooseError
        if not notes or ref in self._open or len(self._open) == _MAX_COPIES:
            return {"$ref": ref}
        self._open.append(ref)
        target = self.make(resolve(self._root, ref))
        self._open.pop()
        return target if "$ref" in target else {**target, **notes}

    def _typed(self, said: dict[str, Any]) -> dict[str, Any]:
        strict = {"type": "object", **said} if "properties" in said else dict(said)
        types = _types(strict)
        if strict.get("format") not in _FORMATS or "string" not in types:
            strict.pop("format", None)  # a validator does not look at it
        known = {"type", "enum", "const"}.union(*(_KEYWORDS.get(name, ()) for name in types))
        if not types or not strict.keys() <= known or _UNSENDABLE.search(strict.get("pattern", "")):
            raise _LooseError
        strict["type"] = types[0] if len(types) == 1 else list(types)
        if "array" in types:
            strict["items"] = self.make(said.get("items"))
        return strict | self._closed(said) if "object" in types else strict

    def _closed(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Close an object, unless it is there to hold anything."""
        properties = said.get("properties", {})
        is_open = said.get("additionalProperties", "properties" not in said) is not False
        if is_open or not properties.keys() >= set(said.get("required", ())):
            raise _LooseError
        return {
            "properties": {name: self.make(inner) for name, inner in properties.items()},
            "required": list(properties),
            "additionalProperties": False,
        }

    def _are_apart(self, one: Any, other: Any) -> bool:
        """Return whether it is plain that no value satisfies both: by their types, or by texts they are limited to."""
        one, other = (self._followed(form) for form in (one, other))
        kinds, others = ({"number" if kind == "integer" else kind for kind in _types(form)} for form in (one, other))
        pairs = [(one, other)]
        if kinds == others == {"object"}:
            mine, yours = one.get("properties", {}), other.get("properties", {})
            pairs = [(self._followed(mine[name]), self._followed(yours[name])) for name in mine.keys() & yours.keys()]
        are_other_texts = any(_texts(a) and _texts(b) and not _texts(a) & _texts(b) for a, b in pairs)
        return bool(kinds and others) and (not kinds & others or are_other_texts)

    def _followed(self, schema: Any) -> Mapping[str, Any]:
        """Return what *schema* refers to; nothing if it is not plain."""
        form = resolve(self._root, schema["$ref"]) if isinstance(schema, Mapping) and "$ref" in schema else schema
        return form if isinstance(form, Mapping) and "$ref" not in form else {}


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types that *schema* allows, as far as it says so."""
    if "type" in schema:
        return (schema["type"],) if isinstance(schema["type"], str) else tuple(schema["type"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return tuple(dict.fromkeys(_TYPE_NAMES.get(type(value), "object") for value in values))


def _texts(schema: Mapping[str, Any]) -> set[str]:
    """Return the texts that *schema* is limited to; none if it is not."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return set(values) if all(isinstance(value, str) for value in values) else set()
