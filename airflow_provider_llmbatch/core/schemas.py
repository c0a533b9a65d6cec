"""What an answer must look like, as JSON Schema  (Draft 2020-12): from a type to the wire."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_llmbatch.core.references import DEFINITIONS, NOTES, map_refs, resolve
from airflow_provider_llmbatch.core.strict import strict_form
from airflow_provider_llmbatch.exceptions import InputError

_NOT_AT_ROOT = {"$ref", "allOf", "anyOf", "const", "enum", "if", "not", "oneOf"}
"""What neither vendor takes at the root, even next to ``type: object``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """What an answer must look like.

    :ivar name: The type's name, as the vendors take it: ``^[A-Za-z0-9_-]{1,64}$``.
    :ivar schema: JSON Schema of the answer, as the user's type says it.
    :ivar wire: The schema that is sent: its root is an object, and it keeps to the vendors' strict subset if it can.
    :ivar is_strict: Whether *wire* keeps to it.
    :ivar is_wrapped: Whether the answer stands under ``value`` in an object, since a root must be one.
    """

    name: str
    schema: Mapping[str, Any]
    wire: Mapping[str, Any]
    is_strict: bool
    is_wrapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call.

    :ivar parameters: JSON Schema of its arguments; an object.
    :ivar raw: A tool in the vendor's own words, sent as it is; then nothing else is set.
    """

    name: str = ""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_strict: bool = False
    raw: Mapping[str, Any] | None = None


def output_schema(output_type: Any) -> OutputSchema:
    """Return what is sent for *output_type*, in strict form where it has one (see :func:`strict_form`).

    :param output_type: A Pydantic model, dataclass, TypedDict or any other type that ``pydantic.TypeAdapter`` takes;
        or a JSON Schema as a mapping.
    :raises InputError: It is neither a type nor a schema.
    """
    if inspect.isroutine(output_type) or isinstance(output_type, str):
        raise InputError(
            f"output_type: a {type(output_type).__name__} is neither a type nor a JSON Schema. Nothing was sent."
        )
    schema = json_schema(output_type, "output_type")
    rooted = with_object_root(schema)
    wire = rooted or _wrapped(schema)
    strict = strict_form(wire)
    title = output_type.__name__ if isinstance(output_type, type) else schema.get("title", "")
    return OutputSchema(
        name=re.sub(r"[^A-Za-z0-9_-]+", "_", title).strip("_")[:64] or "answer",
        schema=schema,
        wire=strict or wire,
        is_strict=strict is not None,
        is_wrapped=rooted is None,
    )


def json_schema(source: Any, what: str) -> dict[str, Any]:
    """Return the JSON Schema of a type, of a function's arguments, or of a mapping that is one, as plain JSON.

    :param what: Where it comes from, for messages.
    :raises InputError: There is none, it is malformed, or it refers to something outside of it.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from pydantic import TypeAdapter

    try:
        schema = plain_json(source if isinstance(source, Mapping) else TypeAdapter(source).json_schema())
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        reason = f"at {place(error.absolute_path)}: {error.message[:200]} (it is read as Draft 2020-12)"
    except Exception as error:  # a type's own hooks may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
    else:
        _check_references(schema, what)
        return schema
    raise InputError(f"{what}: no JSON Schema can be made of it: {reason}. Nothing was sent.")


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy that is nothing but JSON: it goes into a file, and nobody changes it under us."""
    return dict(json.loads(json.dumps(dict(value), allow_nan=False)))


def _check_references(schema: Mapping[str, Any], what: str) -> None:
    from jsonschema import Draft202012Validator

    def check(ref: str) -> str:
        if not (ref == "#" or ref.startswith("#/")) or resolve(schema, ref) is None:
            raise InputError(f"{what}: it refers to {ref!r}, which it does not hold under '$defs'. Nothing was sent.")
        return ref

    map_refs(schema, check)
    try:
        for part in (schema, *schema.get("$defs", {}).values()):
            list(Draft202012Validator(schema).evolve(schema=part).iter_errors(None))
    except Exception:  # RecursionError; or an inner `$id`, by which references mean something else
        raise InputError(f"{what}: its references cannot be followed to an end. Nothing was sent.") from None


def with_object_root(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return *schema* with an object at its root, or ``None`` if its values are not (or not only) objects.

    A recursive model's root is a ``$ref``; it is replaced by what it refers to, since vendors want to see the object.
    """
    root = {name: value for name, value in schema.items() if name not in ("$schema", "$id")}
    if "$ref" in root and root.keys() <= {"$ref", *NOTES, *DEFINITIONS}:
        target = resolve(schema, root.pop("$ref"))
        root = {**target, **root} if isinstance(target, Mapping) else root
    if "properties" in root:
        root = {"type": "object", **root}
    return root if root.get("type") == "object" and not _NOT_AT_ROOT & root.keys() else None


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Put *schema* under ``value`` in an object; definitions stay at the root, where references look for them."""
    stays = ("#/$defs/", "#/definitions/")
    moved = map_refs(schema, lambda ref: ref if ref.startswith(stays) else f"#/properties/value{ref[1:]}")
    kept = {name: moved.pop(name) for name in sorted(DEFINITIONS & moved.keys())}
    value = {name: part for name, part in moved.items() if name not in ("$schema", "$id")}
    wrapper = {"type": "object", "properties": {"value": value}, "required": ["value"], "additionalProperties": False}
    return wrapper | kept


def place(path: Iterable[str | int]) -> str:
    """Write where in a document something is."""
    return ".".join(map(str, path)) or "the whole answer"
