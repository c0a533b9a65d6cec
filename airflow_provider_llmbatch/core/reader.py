"""From a model's text to a checked value, or to a complaint that the model can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from airflow_provider_llmbatch.core.schemas import OutputSchema, place

_Problems = list[tuple[Iterable[str | int], str]]
"""Where in an answer something is wrong, and what."""

MAX_COMPLAINT = 1_000
"""Characters: the model reads a complaint in the next round, and we pay for it."""
_SHOWN = 5  # errors in one complaint
_FENCE = re.compile(r"^[ \t]*```(?:json)?\s(.*?)(?:^[ \t]*```|```\s*\Z)", re.DOTALL | re.MULTILINE | re.IGNORECASE)
"""A block of Markdown. No line of JSON starts with a fence: a text in it holds no line break."""


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
    from jsonschema.exceptions import best_match
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
    lines = [f"- {place(path)}: {reason}" for path, reason in problems[:_SHOWN]]
    lines += ["- and more"] if len(problems) > _SHOWN else []
    text = "\n".join(["The answer does not have the form that was asked for:", *lines])
    return text if len(text) <= MAX_COMPLAINT else text[: MAX_COMPLAINT - 1] + "…"
