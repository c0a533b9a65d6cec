"""What an answer must look like, as JSON Schema (Draft 2020-12): from a type to the wire, and from text to a value."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any
from urllib.parse import unquote

from airflow_provider_llmbatch.exceptions import InputError

_Problems = list[tuple[Iterable[str | int], str]]
"""Where in an answer something is wrong, and what."""

MAX_COMPLAINT = 1_000
"""Characters: the model reads a complaint in the next round, and we pay for it."""
_SHOWN = 5  # errors in one complaint
_MAX_COPIES = 3  # definitions copied into one another, so that a schema stays small

_DEFINITIONS = {"$defs", "definitions"}
_NOTES = ("title", "description")
_NOT_AT_ROOT = {"$ref", "allOf", "anyOf", "const", "enum", "if", "not", "oneOf"}
"""What neither vendor takes at the root, even next to ``type: object``."""
_FENCE = re.compile(r"^[ \t]*```(?:json)?\s(.*?)(?:^[ \t]*```|```\s*\Z)", re.DOTALL | re.MULTILINE | re.IGNORECASE)
"""A block of Markdown. No line of JSON starts with a fence: a text in it holds no line break."""

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
    from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
    from pydantic import TypeAdapter

    try:
        schema = plain_json(source if isinstance(source, Mapping) else TypeAdapter(source).json_schema())
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        reason = f"at {_place(error.absolute_path)}: {error.message[:200]} (it is read as Draft 2020-12)"
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
        if not (ref == "#" or ref.startswith("#/")) or _resolve(schema, ref) is None:
            raise InputError(f"{what}: it refers to {ref!r}, which it does not hold under '$defs'. Nothing was sent.")
        return ref

    _map_refs(schema, check)
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
    if "$ref" in root and root.keys() <= {"$ref", *_NOTES, *_DEFINITIONS}:
        target = _resolve(schema, root.pop("$ref"))
        root = {**target, **root} if isinstance(target, Mapping) else root
    if "properties" in root:
        root = {"type": "object", **root}
    return root if root.get("type") == "object" and not _NOT_AT_ROOT & root.keys() else None


def _wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Put *schema* under ``value`` in an object; definitions stay at the root, where references look for them."""
    stays = ("#/$defs/", "#/definitions/")
    moved = _map_refs(schema, lambda ref: ref if ref.startswith(stays) else f"#/properties/value{ref[1:]}")
    kept = {name: moved.pop(name) for name in sorted(_DEFINITIONS & moved.keys())}
    value = {name: part for name, part in moved.items() if name not in ("$schema", "$id")}
    wrapper = {"type": "object", "properties": {"value": value}, "required": ["value"], "additionalProperties": False}
    return wrapper | kept


def _map_refs(part: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of a schema or its part with every ``$ref`` changed."""
    if isinstance(part, list):
        return [_map_refs(inner, change) for inner in part]
    if not isinstance(part, Mapping):
        return part
    copy = {name: _map_refs(inner, change) for name, inner in part.items()}
    if isinstance(part.get("$ref"), str):  # a property may be called that, too
        copy["$ref"] = change(part["$ref"])
    return copy


def _resolve(root: Any, ref: str) -> Any:
    """Return what the pointer *ref* (``#/…``) stands for, or ``None``."""
    found = root
    for part in ref[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, ValueError, IndexError, TypeError):
            return None
    return found


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
        for name in sorted(_DEFINITIONS & schema.keys()):
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
        notes = {name: schema[name] for name in _NOTES if name in schema}
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
        target = self.make(_resolve(self._root, ref))
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
        form = _resolve(self._root, schema["$ref"]) if isinstance(schema, Mapping) and "$ref" in schema else schema
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


def reader(output_type: Any | None, output: OutputSchema) -> Callable[[str], Any]:
    """Return a function from a model's text to the value, checked, in JSON's own types.

    It raises :class:`ValueError` with a text for the model: what is wrong, and where, in at most 1,000 characters.
    That text may quote the answer, so it is not for a log.

    :param output_type: What :func:`output_schema` was given; ``None``: by the schema alone, without own validators.
    """
    is_type = output_type is not None and not isinstance(output_type, Mapping)
    check = _check_by_type(output_type, output) if is_type else _check_by_schema(output)

    def read(text: str) -> Any:
        document, value = _parse(text)
        try:
            problems, found = check(document, value)
        except Exception as error:  # one answer that a user's validator chokes on must not stop the other rows
            raise ValueError(f"The answer cannot be checked: {type(error).__name__}.") from None
        if problems:
            raise ValueError(_complaint(problems))
        return found

    return read


def _parse(text: str) -> tuple[str, Any]:
    """Return the JSON in *text* and its value: all of it, or else what stands in the first fenced block."""
    from pydantic_core import from_json

    fenced = _FENCE.search(text)
    for document in (text, *(fenced.groups() if fenced else ())):
        try:
            return document, from_json(document, allow_inf_nan=False)
        except ValueError as error:
            reason = str(error)
    raise ValueError(f"The answer is not JSON: {reason}. Answer with JSON and nothing else.")


def _check_by_type(output_type: Any, output: OutputSchema) -> Callable[[str, Any], tuple[_Problems, Any]]:
    from pydantic import TypeAdapter, ValidationError, create_model

    wrapper = create_model("Answer", value=(output_type, ...)) if output.is_wrapped else output_type
    adapter: TypeAdapter[Any] = TypeAdapter(wrapper)

    def check(document: str, value: Any) -> tuple[_Problems, Any]:
        # From text, not from `value`: a date is a text in JSON, and a strict type takes it only from there.
        try:
            found = adapter.validate_json(document)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            return [(one["loc"], one["msg"]) for one in errors], None
        # By alias, as the schema names it; without warnings, since they quote the answer into a log.
        plain = adapter.dump_python(found, mode="json", by_alias=True, warnings=False)
        return [], plain["value"] if output.is_wrapped else plain

    return check


def _check_by_schema(output: OutputSchema) -> Callable[[str, Any], tuple[_Problems, Any]]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from referencing import Registry

    # An empty registry: by default an unknown reference would be fetched from the network.
    validator = Draft202012Validator(output.schema, registry=Registry())

    def check(document: str, value: Any) -> tuple[_Problems, Any]:
        if output.is_wrapped and not (isinstance(value, dict) and "value" in value):
            return [((), "must be an object with the key 'value'")], None
        found, before = (value["value"], ("value",)) if output.is_wrapped else (value, ())
        # Of an "any of", the best match is the reason that is worth reading.
        errors = [best_match([error]) for error in islice(validator.iter_errors(found), _SHOWN + 1)]
        return [((*before, *error.absolute_path), _reason(error)) for error in errors], found

    return check


def _reason(error: Any) -> str:
    """Return what is wrong; jsonschema's own message starts with the value, which may be a whole document."""
    short = f"does not satisfy {error.validator}: {json.dumps(error.validator_value)[:100]}"
    return error.message if len(error.message) <= 150 else short


def _complaint(problems: _Problems) -> str:
    lines = [f"- {_place(path)}: {reason}" for path, reason in problems[:_SHOWN]]
    lines += ["- and more"] if len(problems) > _SHOWN else []
    text = "\n".join(["The answer does not have the form that was asked for:", *lines])
    return text if len(text) <= MAX_COMPLAINT else text[: MAX_COMPLAINT - 1] + "…"


def _place(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path)) or "the whole answer"
