"""References inside of one JSON Schema: what they stand for, and how to move them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

DEFINITIONS = {"$defs", "definitions"}
NOTES = ("title", "description")


def map_refs(part: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of a schema or its part with every ``$ref`` changed."""
    if isinstance(part, list):
        return [map_refs(inner, change) for inner in part]
    if not isinstance(part, Mapping):
        return part
    copy = {name: map_refs(inner, change) for name, inner in part.items()}
    if isinstance(part.get("$ref"), str):  # a property may be called that, too
        copy["$ref"] = change(part["$ref"])
    return copy


def resolve(root: Any, ref: str) -> Any:
    """Return what the pointer *ref* (``#/…``) stands for, or ``None``."""
    found = root
    for part in ref[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, ValueError, IndexError, TypeError):
            return None
    return found
