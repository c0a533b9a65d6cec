"""Functions that the model may call: from Python or a vendor's words to :class:`Tool`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_llmbatch.core.schemas import Tool, json_schema, plain_json, with_object_root
from airflow_provider_llmbatch.core.strict import strict_form
from airflow_provider_llmbatch.exceptions import InputError

NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def tools_of(tools: Sequence[Any] | None) -> list[Tool]:
    """Return what the model is told of *tools*, in strict form where it has one.

    Each is a Python function (its docstring's first paragraph is the description, its annotations are the parameters),
    a Pydantic model or another type with fields, a function's definition in the words of OpenAI's chat, OpenAI's
    responses or Anthropic, or any other mapping with a ``type``: a tool of the vendor's own, sent as it is.

    In strict form the model writes every argument, those with a default included.

    :raises InputError: One is none of these, cannot be called by name, or shares its name with another.
    """
    if isinstance(tools, (str, Mapping)):
        raise InputError("tools: it must be a list of tools. Nothing was sent. Put the one tool into a list.")
    found = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools or ())]
    names: set[str] = set()
    for number, tool in enumerate(found):
        name = str(tool.raw.get("name", "") if tool.raw else tool.name)
        if name and name in names:
            raise InputError(f"tools[{number}]: another tool is named {name!r}, too. Nothing was sent.")
        names.add(name)
    return found


def _tool(tool: Any, what: str) -> Tool:
    if isinstance(tool, Tool):
        return tool
    if isinstance(tool, Mapping):
        return _from_mapping(tool, what)
    if isinstance(tool, type):
        return _from_type(tool, what)
    if inspect.isroutine(tool):
        return _from_function(tool, what)
    raise InputError(
        f"{what}: a {type(tool).__name__} is no tool. Nothing was sent. Pass a function, a Pydantic model or a mapping."
    )


def _from_function(function: Any, what: str) -> Tool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"{what}: {function.__name__} does not say its parameters. Nothing was sent.") from None
    odd = [str(parameter) for parameter in parameters if parameter.kind not in _BY_NAME]
    if odd:
        raise InputError(
            f"{what}: {function.__name__} takes {', '.join(odd)}, which cannot be given by name. Nothing was sent. "
            "Give each argument a name of its own."
        )
    text = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return _made(function.__name__, " ".join(text.split()), json_schema(function, what), what)


def _from_type(type_: type[Any], what: str) -> Tool:
    schema = json_schema(type_, what)
    return _made(type_.__name__, schema.pop("description", ""), schema, what)


def _from_mapping(tool: Mapping[str, Any], what: str) -> Tool:
    """Read a function's definition; with a key of one vendor's only, such as ``cache_control``, it stays as it is."""
    form, key = _form_of(tool)
    if form is None or not form.keys() <= {"name", "description", "strict", key}:
        if not (form or isinstance(tool.get("type"), str)):
            raise InputError(
                f"{what}: it has neither a 'type' nor an 'input_schema'. Nothing was sent. Write {{'type': 'function', "
                "'function': {'name': …, 'parameters': …}} or {'name': …, 'input_schema': …}."
            )
        return Tool(raw=_plain(tool, what))
    name, description, strict = form.get("name"), form.get("description") or "", form.get("strict")
    if not (isinstance(name, str) and isinstance(description, str) and isinstance(strict, bool | None)):
        raise InputError(
            f"{what}: its 'name' and 'description' must be texts, its 'strict' true or false. Nothing was sent."
        )
    schema = form.get(key) or NO_ARGUMENTS
    if not isinstance(schema, Mapping):
        raise InputError(f"{what}: its {key!r} must be a JSON Schema. Nothing was sent.")
    return _made(name, description, json_schema(schema, what), what, strict)


def _form_of(tool: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Return the part that defines a function, and its key for the parameters."""
    kind, rest = tool.get("type"), {key: value for key, value in tool.items() if key != "type"}
    if kind == "function":
        inner = rest.get("function")
        return (inner if isinstance(inner, Mapping) and len(rest) == 1 else rest), "parameters"
    if kind in (None, "custom") and "input_schema" in rest:
        return rest, "input_schema"
    return None, ""


def _plain(tool: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        return plain_json(tool)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{what}: it cannot be written as JSON: {error}. Nothing was sent.") from None


def _made(name: str, description: str, schema: dict[str, Any], what: str, strict: bool | None = None) -> Tool:
    """Return the tool.

    :param strict: What the user asks for; ``None``: strict if it can be. A ``True`` that we cannot fulfil is passed on
        with the parameters as they are: the vendor may know more than we do.
    """
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        raise InputError(
            f"{what}: its name {name[:80]!r} must be 1 to 64 of the characters A-Z, a-z, 0-9, '_' and '-'. "
            "Nothing was sent."
        )
    rooted = with_object_root(schema)
    if rooted is None and schema.get("type") != "object":
        raise InputError(f"{what}: the parameters of {name!r} must be an object. Nothing was sent.")
    form = strict_form(rooted) if rooted and strict is not False else None
    is_strict = form is not None if strict is None else strict
    return Tool(name=name, description=description, parameters=form or rooted or schema, is_strict=is_strict)
