"""What a schema for structured output may contain.

The supported subset is what the SDK's ``transform_schema`` leaves of a schema (A-SDK 2.12.0,
``lib/_parse/_transform.py``): everything else it moves to the description, because the API refuses it.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_llmbatch.emulator.anthropic.params import bad
from airflow_provider_llmbatch.emulator.mind.wellformed import find_mistake

_UNSUPPORTED = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}


def check_wellformed(schema: Any, where: str) -> None:
    """Refuse what is no JSON schema."""
    mistake = find_mistake(schema)
    if mistake:
        raise bad(f"{where}: JSON schema is invalid: {mistake}")


def check_schema(schema: Any, where: str) -> None:
    """Refuse a schema that uses more than the supported subset."""
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        if "additionalProperties" in schema:
            said = str(schema["additionalProperties"]).lower()
            raise bad(
                f"{where}: For 'object' type, 'additionalProperties: {said}' is not supported. "
                "Please set 'additionalProperties' to false"
            )
        raise bad(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    extra = [name for name in _UNSUPPORTED.get(str(kind), ()) if name in schema]
    if extra:
        names = ", ".join(extra)
        raise bad(f"{where}: For '{kind}' type, property '{names}' is not supported")
    if kind == "array" and schema.get("minItems", 0) > 1:
        raise bad(f"{where}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    _check_children(schema, where)


def _check_children(schema: dict[str, Any], where: str) -> None:
    for keyword in ("properties", "$defs", "definitions"):
        for child in schema.get(keyword, {}).values():
            check_schema(child, where)
    for keyword in ("anyOf", "allOf"):
        for child in schema.get(keyword, ()):
            check_schema(child, where)
    check_schema(schema.get("items"), where)
