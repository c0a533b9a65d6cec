"""Types of columns, as an algebra: what one value is, what two have in common, and what a JSON Schema promises.

A kind is a word, or a list or struct of kinds. Merging knows no order, so the same rows give the same kinds whatever
order they come in. Where two have nothing in common, the values stand as JSON text: no digit and no key is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

from airflow_provider_llmbatch.core.references import resolve

Scalar = Literal["null", "bool", "int", "long", "float", "text", "json"]
"""``int`` is exact as a float, too; ``long`` needs all of 64 bits; ``json`` is anything, as JSON text."""


@dataclass(frozen=True, slots=True)
class Of:
    """A list."""

    item: Kind


@dataclass(frozen=True, slots=True)
class Struct:
    """An object; its fields are sorted by name, so that the order in which they were seen does not matter."""

    fields: tuple[tuple[str, Kind], ...]


Kind = Scalar | Of | Struct

_EXACT = 2**53
_LONG = 2**63
_MAX_FIELDS = 200
"""An object with more names is a map, not a row: as a struct it would grow with the number of records."""
_MAX_DEPTH = 20
"""Levels of lists and objects; beyond this, readers of Parquet give up before we do."""
_NUMBERS = {frozenset(("int", "long")): "long", frozenset(("int", "float")): "float"}
_TYPES: dict[type, Scalar] = {type(None): "null", bool: "bool", float: "float", str: "text"}


def kind_of(value: Any, depth: int = 0) -> Kind:
    """Return the kind of one JSON value."""
    found = _TYPES.get(type(value))
    if found is not None:
        return found
    if isinstance(value, int):
        return "int" if -_EXACT <= value <= _EXACT else "long" if -_LONG <= value < _LONG else "json"
    if depth == _MAX_DEPTH:
        return "json"
    if isinstance(value, list):
        if set(map(type, value)) == {float}:  # a vector has thousands
            return Of("float")
        return Of(merged(kind_of(item, depth + 1) for item in value))
    if isinstance(value, dict):
        return struct((name, kind_of(item, depth + 1)) for name, item in value.items())
    return "json"


def struct(fields: Iterable[tuple[str, Kind]]) -> Kind:
    """Return a struct of *fields*, if they are few enough."""
    found = tuple(sorted(fields, key=lambda field: field[0]))
    return Struct(found) if len(found) <= _MAX_FIELDS else "json"


def merge(one: Kind, other: Kind) -> Kind:
    """Return the kind that holds what either holds."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, Of) and isinstance(other, Of):
        return Of(merge(one.item, other.item))
    if isinstance(one, Struct) and isinstance(other, Struct):
        fields = dict(one.fields)
        for name, kind in other.fields:
            fields[name] = merge(fields.get(name, "null"), kind)
        return struct(fields.items())
    if isinstance(one, str) and isinstance(other, str):
        return _NUMBERS.get(frozenset((one, other)), "json")  # type: ignore[return-value]
    return "json"


def merged(kinds: Iterable[Kind]) -> Kind:
    """Return the kind that holds what any of *kinds* holds."""
    return reduce(merge, kinds, "null")


def settled(kind: Kind) -> Kind:
    """Return *kind* as a column has it: what was never seen is text, and an object without fields is JSON."""
    if isinstance(kind, Of):
        return Of(settled(kind.item))
    if isinstance(kind, Struct):
        return Struct(tuple((name, settled(field)) for name, field in kind.fields)) if kind.fields else "json"
    return {"null": "text", "int": "long"}.get(kind, kind)  # type: ignore[return-value]


# -- from a JSON Schema -----------------------------------------------------------------------------------------------

_SCHEMA_TYPES: dict[str, Kind] = {
    "null": "null",
    "boolean": "bool",
    "integer": "long",
    "number": "float",
    "string": "text",
}
_MAX_REFERENCES = 8
"""References within references. A schema that refers to itself goes on as JSON text."""


def kind_of_schema(schema: Mapping[str, Any]) -> Kind:
    """Return the kind of every value that *schema* allows; ``json`` where that cannot be told."""
    return _Reader(schema).read(schema, ())


class _Reader:
    """Reads the parts of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def read(self, part: Any, within: tuple[str, ...]) -> Kind:
        """Return the kind of what *part* allows.

        :param within: The references that led here.
        """
        if not isinstance(part, Mapping):
            return "json"
        if isinstance(part.get("$ref"), str):
            return self._refer(part["$ref"], within)
        for choice in ("anyOf", "oneOf"):
            if choice in part:
                return merged(self.read(inner, within) for inner in part[choice])
        if len(part.get("allOf", ())) == 1:
            return self.read(part["allOf"][0], within)
        if "enum" in part or "const" in part:
            return merged(_wide(value) for value in part.get("enum", [part.get("const")]))
        return self._by_type(part, within)

    def _refer(self, ref: str, within: tuple[str, ...]) -> Kind:
        if ref in within or len(within) == _MAX_REFERENCES:
            return "json"
        return self.read(resolve(self._root, ref), (*within, ref))

    def _by_type(self, part: Mapping[str, Any], within: tuple[str, ...]) -> Kind:
        names = part.get("type", "object" if "properties" in part else "anything")
        return merged(self._of(name, part, within) for name in ([names] if isinstance(names, str) else names))

    def _of(self, name: str, part: Mapping[str, Any], within: tuple[str, ...]) -> Kind:
        if name == "array":
            items = [*part.get("prefixItems", ()), *([part["items"]] if "items" in part else [])]
            return Of(merged(self.read(item, within) for item in items if item is not False)) if items else "json"
        if name == "object":
            fields = part.get("properties", {})
            is_map = isinstance(part.get("additionalProperties"), Mapping) or not fields
            return "json" if is_map else struct((field, self.read(inner, within)) for field, inner in fields.items())
        return _SCHEMA_TYPES.get(name, "json")


def _wide(value: Any) -> Kind:
    kind = kind_of(value)
    return "long" if kind == "int" else kind
