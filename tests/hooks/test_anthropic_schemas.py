"""What is left of a schema where Anthropic is to hold an answer to it."""

import enum
from typing import Annotated, Any, Literal

import anthropic
import msgspec
import pytest
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, TypeAdapter

from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.emulator.anthropic.structure import check_schema
from airflow_provider_llmbatch.hooks._anthropic_schemas import fitted

STRING, NUMBER = {"type": "string"}, {"type": "number"}


def fit(schema):
    return msgspec.json.decode(fitted(schema))


def closed(fields, **more):
    return {"type": "object", "properties": fields, "additionalProperties": False, **more}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param(closed({"a": STRING}, required=["a"]), closed({"a": STRING}, required=["a"]), id="in-the-subset"),
        pytest.param({"type": "object", "properties": {"a": STRING}}, closed({"a": STRING}), id="an-object-is-closed"),
        pytest.param({"properties": {"a": STRING}}, closed({"a": STRING}), id="an-object-is-told-by-its-properties"),
        pytest.param(closed({}), closed({}), id="an-object-without-properties"),
        pytest.param(
            {"type": "integer", "minimum": 1, "description": "Stars."},
            {"type": "integer", "description": 'Stars.\n\n{"minimum":1}'},
            id="a-bound-is-described",
        ),
        pytest.param(
            {"type": "string", "pattern": "^a", "maxLength": 3},
            {"type": "string", "description": '{"pattern":"^a","maxLength":3}'},
            id="a-pattern-is-described",
        ),
        pytest.param({"type": "string", "format": "date"}, {"type": "string", "format": "date"}, id="known-format"),
        pytest.param(
            {"type": "string", "format": "phone"},
            {"type": "string", "description": '{"format":"phone"}'},
            id="unknown-format",
        ),
        pytest.param(
            {"type": "array", "items": STRING, "minItems": 1, "maxItems": 3},
            {"type": "array", "items": STRING, "minItems": 1, "description": '{"maxItems":3}'},
            id="list",
        ),
        pytest.param(
            {"type": "array", "items": STRING, "minItems": 2},
            {"type": "array", "items": STRING, "description": '{"minItems":2}'},
            id="at-least-two",
        ),
        pytest.param(
            {"type": "array", "prefixItems": [STRING, NUMBER, STRING], "items": False, "minItems": 3},
            {"type": "array", "items": {"anyOf": [STRING, NUMBER]}, "description": '{"minItems":3}'},
            id="tuple",
        ),
        pytest.param({"prefixItems": [STRING]}, {"type": "array", "items": STRING}, id="tuple-of-one"),
        pytest.param({"oneOf": [STRING, NUMBER]}, {"anyOf": [STRING, NUMBER]}, id="one-of"),
        pytest.param({"allOf": [STRING]}, {"allOf": [STRING]}, id="all-of"),
        pytest.param(
            {"type": ["string", "null"], "maxLength": 3, "description": "d"},
            {"anyOf": [{"type": "string", "description": '{"maxLength":3}'}, {"type": "null"}], "description": "d"},
            id="several-types",
        ),
        pytest.param({"type": ["string", "null"], "enum": ["a", None]}, {"enum": ["a", None]}, id="enum"),
        pytest.param({"type": "string", "const": "a"}, {"const": "a"}, id="const"),
        pytest.param(
            {"$defs": {"A": {"type": "object", "properties": {"a": STRING}}}, "$ref": "#/$defs/A", "title": "t"},
            {"$defs": {"A": closed({"a": STRING})}, "$ref": "#/$defs/A"},
            id="reference",
        ),
        pytest.param(
            {"definitions": {"A": STRING}, "properties": {"a": {"$ref": "#/definitions/A"}}},
            {"definitions": {"A": STRING}, **closed({"a": {"$ref": "#/definitions/A"}})},
            id="definitions-of-old",
        ),
        pytest.param({"type": "string", "default": "a", "title": "T"}, {"type": "string", "title": "T"}, id="default"),
    ],
)
def test_a_schema_is_fitted(schema, expected):
    assert fit(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({}, id="anything"),
        pytest.param(closed({"a": {}}), id="a-field-of-anything"),
        pytest.param({"type": "array"}, id="a-list-of-anything"),
        pytest.param({"type": "array", "items": True}, id="a-list-of-true"),
        pytest.param({"anyOf": [STRING, {"description": "anything"}]}, id="a-choice-of-anything"),
        pytest.param({"type": "object"}, id="any-object"),
        pytest.param(closed({"a": {"type": "object", "additionalProperties": NUMBER}}), id="map"),
        pytest.param({"$defs": {"A": closed({"a": {"$ref": "#/$defs/A"}})}, "$ref": "#/$defs/A"}, id="recursion"),
        pytest.param(closed({"a": {"$ref": "#"}}), id="recursion-to-the-root"),
        pytest.param(closed({"a": STRING, "b": {"$ref": "#/properties/a"}}), id="a-reference-to-no-definition"),
        pytest.param(
            {
                "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}, STRING]}, "B": closed({"a": {"$ref": "#/$defs/A"}})},
                **closed({"a": {"$ref": "#/$defs/A"}}),
            },
            id="recursion-through-another",
        ),
    ],
)
def test_a_schema_that_cannot_be_said_is_not_made_into_another(schema):
    """An object of unknown keys would otherwise come back empty, every time, and pass."""
    assert fitted(schema) is None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: Annotated[str, Field(min_length=1, description="As printed.")]
    colours: list[Colour] = []
    price: float | None = Field(default=None, ge=0, multiple_of=0.01)


class Everything(BaseModel):
    """A bit of all that people write."""

    id: int = Field(gt=0)
    kind: Literal["new", "used"]
    at: AwareDatetime
    url: HttpUrl
    place: tuple[float, str]
    parts: Annotated[list[Part], Field(max_length=9)]
    best: Part | None
    either: int | str | bool


class Node(BaseModel):
    name: str
    children: list["Node"] = []


@pytest.mark.parametrize(
    "kind", [Everything, Part, list[Part], Colour, int | None, tuple[int, str], Literal["a", "b"]], ids=str
)
class TestATypeOfPydantics:
    def test_becomes_a_schema_that_a_batch_takes(self, kind):
        check_schema(fit(TypeAdapter(kind).json_schema()), "$")

    def test_becomes_one_too_in_the_form_that_is_sent(self, kind):
        check_schema(fit(output_schema(kind).wire), "$")

    def test_becomes_what_the_sdk_itself_makes_of_it_but_for_words_and_tuples(self, kind):
        schema = TypeAdapter(kind).json_schema()

        assert bare(fit(schema)) == bare(anthropic.transform_schema(schema))


@pytest.mark.parametrize("kind", [Node, dict[str, int], Any, list[Any]], ids=str)
def test_other_types_are_told_and_not_held_to(kind):
    assert fitted(output_schema(kind).wire) is None


def bare(schema):
    """Return *schema* without words, types beside an enum (SDK 1.0 keeps them), items of a tuple (no SDK has any)."""
    if isinstance(schema, dict):
        dropped = {"description", "title"} | ({"type"} if schema.keys() & {"enum", "const"} else set())
        dropped |= {"items"} if schema.get("type") == "array" and "anyOf" in str(schema.get("items")) else set()
        return {name: bare(part) for name, part in schema.items() if name not in dropped}
    return [bare(part) for part in schema] if isinstance(schema, list) else schema


def test_a_schema_is_fitted_once():
    assert fitted(STRING) is fitted(dict(STRING))
