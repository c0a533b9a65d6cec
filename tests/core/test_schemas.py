"""What an answer must look like: what is sent allows nothing that the type does not, and what comes is checked."""

import enum
import json
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal, NotRequired, Optional

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from airflow_provider_llmbatch.core.reader import reader
from airflow_provider_llmbatch.core.schemas import output_schema
from airflow_provider_llmbatch.emulator.openai.strict import check_format
from airflow_provider_llmbatch.exceptions import InputError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    count: int = Field(1, ge=0, description="How many")


class Order(BaseModel):
    id: int
    when: date | None = None
    colour: Colour = Colour.RED
    main: Part = Field(description="The most expensive one")
    parts: list[Part] = []
    price: Decimal = Decimal(0)
    mood: Literal["good", "bad", 3, None] = None


class Node(BaseModel):
    label: str
    best: Optional["Node"] = Field(None, description="The best of them")
    children: list["Node"] = []


class Twin(BaseModel):
    other: "Twin | None" = None
    twins: Annotated[list[Annotated["Twin", Field(description="One of them")]], Field(description="All")] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Pet(BaseModel):
    animal: Annotated[Cat | Dog, Field(discriminator="kind")]


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclass
class Point:
    x: float
    y: float = 0.0


class Empty(BaseModel):
    pass


A_TEXT = {"$defs": {"A": {"type": "string", "default": "x", "examples": ["y"], "x-ours": 1, "format": "uri"}}}


def an_object(**properties):
    return {"type": "object", "properties": properties}


STRICT = [
    pytest.param(Order, False, id="a model"),
    pytest.param(Node, False, id="a recursive model, whose root is a reference"),
    pytest.param(Twin, False, id="a reference to itself that is described"),
    pytest.param(Pet, False, id="a discriminated union in a model"),
    pytest.param(Cat | Dog, True, id="a union"),
    pytest.param(Movie, False, id="a TypedDict"),
    pytest.param(Point, False, id="a dataclass"),
    pytest.param(Empty, False, id="a model without fields"),
    pytest.param(list[str], True, id="a list"),
    pytest.param(list[Node], True, id="a list of recursive models"),
    pytest.param(Literal["a", "b"], True, id="a choice"),
    pytest.param(Colour, True, id="an enum"),
    pytest.param(Literal[1, "a", None], True, id="a choice of several types"),
    pytest.param(int, True, id="a number"),
    pytest.param(Optional[bool], True, id="yes, no or nothing"),  # noqa: UP045
    pytest.param(Annotated[float, Field(ge=0, lt=1)], True, id="a number with bounds"),
    pytest.param(Annotated[list[date], Field(min_length=1, max_length=3)], True, id="a list with bounds"),
    pytest.param(Annotated[str, Field(pattern="^[a-c]{2}$")], True, id="a text with a pattern"),
    pytest.param({"properties": {"a": {"type": ["string", "null"]}}}, False, id="a schema that names no type"),
    pytest.param({"type": "object", "additionalProperties": False}, False, id="an empty object"),
    pytest.param({"oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, True, id="one of two texts"),
    pytest.param({"oneOf": [{"type": "integer"}, {"type": "null"}]}, True, id="one of two types"),
    pytest.param(an_object(a={"allOf": [{"$ref": "#/$defs/A"}], "title": "An A"}) | A_TEXT, False, id="all of one"),
    pytest.param(an_object(more={"type": "array", "items": {"$ref": "#"}}), False, id="its own root"),
    pytest.param(an_object(**{"$ref": {"type": "integer", "format": "int32"}}), False, id="a property named $ref"),
]

CIRCLE = an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": {"type": "object", "anyOf": [{"$ref": "#/$defs/A"}]}}}

LOOSE = [
    pytest.param(dict[str, int], False, id="a free mapping"),
    pytest.param(dict, False, id="any mapping"),
    pytest.param(Any, True, id="anything"),
    pytest.param(list, True, id="a list of anything"),
    pytest.param(set[str], True, id="different items"),
    pytest.param(tuple[int, str], True, id="a pair"),
    pytest.param(Annotated[str, Field(max_length=3)], True, id="a short text"),
    pytest.param({"type": "string", "pattern": "^(?!a)"}, True, id="look-around"),
    pytest.param({"type": "string", "pattern": r"(a|b)\1"}, True, id="a back-reference"),
    pytest.param({"type": "object"}, False, id="an object of anything"),
    pytest.param({"type": "object", "properties": {}, "additionalProperties": True}, False, id="an open object"),
    pytest.param({"type": "object", "properties": {"a": True}}, False, id="a property that may be anything"),
    pytest.param({"type": "object", "properties": {}, "required": ["a"]}, False, id="a property that is not declared"),
    pytest.param({"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]}, True, id="a choice at the root"),
    pytest.param({"type": "string", "not": {"const": "a"}}, True, id="not"),
    pytest.param({"oneOf": [{"type": "integer"}, {"type": "number"}]}, True, id="one of two that overlap"),
    pytest.param({"oneOf": [{"properties": {"a": {}}}, {"type": "string"}]}, True, id="one of two, one without a type"),
    pytest.param({"oneOf": [True, {"type": "string"}]}, True, id="one of anything"),
    pytest.param({"allOf": [{"type": "string"}, {"minLength": 2}]}, True, id="all of two"),
    pytest.param({"enum": [{"a": 1}, [2]]}, True, id="values that are documents"),
    pytest.param({"type": "array", "items": {"$ref": "#"}}, True, id="a list of itself"),
    pytest.param(an_object(a={"$ref": "#/$defs/A", "minLength": 2}) | A_TEXT, False, id="more next to a reference"),
    pytest.param(an_object(a={"type": "null"}, b={"$ref": "#/properties/a"}), False, id="a reference to a property"),
    pytest.param(an_object(a={"$id": "urn:a", "type": "null"}), False, id="a part with an identity of its own"),
]


@pytest.mark.parametrize(("output_type", "is_wrapped"), STRICT)
def test_what_has_a_strict_form_is_sent_in_it(output_type, is_wrapped):
    made = output_schema(output_type)

    assert (made.is_strict, made.is_wrapped) == (True, is_wrapped)
    assert made.wire["type"] == "object"
    check_format({"name": made.name, "schema": made.wire, "strict": True}, "response_format.json_schema")
    assert not [part for part in objects_of(made.wire) if isinstance(part.get("$ref"), str) and len(part) > 1]
    assert json.loads(json.dumps([made.schema, made.wire])) == [made.schema, made.wire]


@pytest.mark.parametrize(("output_type", "is_wrapped"), LOOSE)
def test_what_has_no_strict_form_is_sent_as_it_is(output_type, is_wrapped):
    made = output_schema(output_type)

    assert (made.is_strict, made.is_wrapped) == (False, is_wrapped)
    assert made.wire["type"] == "object"
    assert is_wrapped or made.wire == made.schema
    Draft202012Validator.check_schema(made.wire)


def test_a_wrapped_schema_means_the_same():
    tree = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/leaf"}]},
        "$defs": {"leaf": {"const": 1}},
    }
    made = output_schema({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:tree", **tree})
    judge = Draft202012Validator(made.wire)

    assert judge.is_valid({"value": [1, [1, [[]]]]})
    assert not judge.is_valid({"value": [1, [2]]})
    assert not judge.is_valid([1])


def test_every_property_is_required_and_has_no_default():
    wire = output_schema(Order).wire

    assert wire["required"] == ["id", "when", "colour", "main", "parts", "price", "mood"]
    assert not [part for part in objects_of(wire) if "default" in part]


def test_a_described_reference_keeps_its_description_without_standing_next_to_it():
    properties = output_schema(Order).wire["properties"]

    assert properties["main"]["description"] == "The most expensive one"
    assert properties["main"]["properties"].keys() == {"name", "count"}
    assert properties["parts"]["items"] == {"$ref": "#/$defs/Part"}


def test_described_references_in_described_references_do_not_make_a_schema_large():
    definitions = {"D0": an_object(a={"type": "string"})}
    for depth in range(1, 12):
        reference = {"$ref": f"#/$defs/D{depth - 1}", "description": "One of four"}
        definitions[f"D{depth}"] = an_object(a=reference, b=reference, c=reference, d=reference)
    made = output_schema({"$ref": "#/$defs/D11", "$defs": definitions})

    assert made.is_strict
    assert len(json.dumps(made.wire)) < 300_000


@pytest.mark.parametrize(
    ("output_type", "name"),
    [
        pytest.param(Order, "Order", id="a class"),
        pytest.param(int, "int", id="a built-in"),
        pytest.param(list[str], "answer", id="no name"),
        pytest.param({"type": "string", "title": "Größe (cm)"}, "Gr_e_cm", id="a title"),
        pytest.param({"type": "string", "title": "a" * 99}, "a" * 64, id="a long title"),
        pytest.param({"type": "string", "title": "…"}, "answer", id="a title of other characters"),
        pytest.param({}, "answer", id="no title"),
    ],
)
def test_the_name_is_fit_for_the_vendors(output_type, name):
    assert output_schema(output_type).name == name


@pytest.mark.parametrize(
    ("output_type", "reason"),
    [
        pytest.param(7, "int|7", id="a value"),
        pytest.param("str", "str is neither", id="a text"),
        pytest.param(len, "neither a type nor", id="a function"),
        pytest.param(lambda: 1, "neither a type nor", id="a lambda"),
        pytest.param(object(), "object", id="an object"),
        pytest.param(type(sys), "module", id="a type that is not data"),
        pytest.param({"type": "strin"}, r"at type: .*2020-12", id="no type of JSON"),
        pytest.param({"properties": {"a": {"pattern": "("}}}, r"at properties\.a\.pattern", id="a bad pattern"),
        pytest.param({"type": "object", "required": "a"}, "at required", id="a bad keyword"),
        pytest.param({"enum": [object()]}, "JSON", id="a value that is not JSON"),
        pytest.param({"const": float("nan")}, "JSON", id="a number that is not JSON"),
        pytest.param({"$ref": "https://example.com/schema.json"}, "does not hold", id="a reference to elsewhere"),
        pytest.param({"items": {"$ref": "#/$defs/A"}}, "'#/[$]defs/A', which", id="a reference to nothing"),
        pytest.param({"$ref": "#anchor"}, "does not hold", id="a reference to an anchor"),
        pytest.param({"$ref": "#"}, "to an end", id="a circle"),
        pytest.param(CIRCLE, "to an end", id="a circle in a definition"),
    ],
)
def test_what_is_neither_a_type_nor_a_schema_is_refused_before_anything_is_sent(output_type, reason):
    with pytest.raises(InputError, match=f"(?s)^output_type: .*({reason}).*Nothing was sent"):
        output_schema(output_type)


def test_a_schema_is_copied_so_that_nobody_changes_it_under_us():
    mine = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = output_schema(MappingProxyType(mine))
    mine["properties"]["a"]["type"] = "integer"

    assert made.schema["properties"]["a"]["type"] == "string"


# -- whatever satisfies what is sent satisfies what was meant --------------------------------------------------------

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "cat"]))


def objects_of(schema):
    """Yield *schema* and every mapping in it."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects_of(part)


def values_of(wire, schema=None, depth=0):
    """Values that satisfy the strict schema *wire*."""
    schema = wire if schema is None else schema
    if "$ref" in schema:
        target = wire
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        return st.none() if depth > 3 else st.deferred(lambda: values_of(wire, target, depth + 1))
    if "anyOf" in schema:
        return st.one_of([values_of(wire, option, depth) for option in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        judge = Draft202012Validator(schema)
        return st.sampled_from(schema.get("enum", [schema.get("const")])).filter(judge.is_valid)
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return st.one_of([plain_of(wire, schema, kind, depth) for kind in kinds])


def plain_of(wire, schema, kind, depth):
    if kind == "object":
        return st.fixed_dictionaries(
            {key: values_of(wire, inner, depth) for key, inner in schema["properties"].items()}
        )
    if kind == "array":
        most = min(schema.get("maxItems", 2), 0 if depth > 3 else 2)
        return st.lists(values_of(wire, schema["items"], depth), min_size=schema.get("minItems", 0), max_size=most)
    if kind in ("integer", "number"):
        whole = st.integers(schema.get("minimum", -9), schema.get("maximum", 9))
        return whole.filter(Draft202012Validator(schema).is_valid)
    if kind == "string" and "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    if kind == "string":
        return st.sampled_from(["2026-01-02"] if schema.get("format") == "date" else ["", "a", "12"])
    return {"boolean": st.booleans(), "null": st.none()}[kind]


@pytest.mark.parametrize(("output_type", "is_wrapped"), STRICT)
@settings(max_examples=25)
@given(data=st.data())
def test_what_satisfies_the_strict_form_satisfies_the_type(output_type, is_wrapped, data):
    made = output_schema(output_type)
    wire = json.loads(json.dumps(made.wire))
    sent = data.draw(values_of(wire))
    value = sent["value"] if is_wrapped else sent

    assert Draft202012Validator(made.wire).is_valid(sent)
    assert Draft202012Validator(made.schema).is_valid(value)
    assert reader(None, made)(json.dumps(sent)) == value


def schemas(depth=3):
    """Schemas of all sorts, those with a strict form and those without."""
    notes = st.fixed_dictionaries({}, optional={"description": st.just("d"), "default": SCALARS, "title": st.just("t")})
    leaves = [
        st.sampled_from(
            [True, {}, {"type": "string"}, {"type": "integer", "minimum": 1}, {"type": "string", "minLength": 2}]
        ),
        st.sampled_from([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a", "minLength": 2}]),
        st.builds(lambda value: {"const": value}, SCALARS),
        st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3)),
        st.builds(
            lambda kinds: {"type": kinds}, st.lists(st.sampled_from(list(TYPES.values())), min_size=1, unique=True)
        ),
    ]
    if depth == 0:
        return st.builds(noted, st.one_of(leaves), notes)
    inner = schemas(depth - 1)
    options = st.lists(inner, min_size=1, max_size=3)
    properties = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    deep = [
        st.builds(lambda parts: {"anyOf": parts}, options),
        st.builds(lambda parts: {"oneOf": parts}, options),
        st.builds(lambda parts: {"allOf": parts}, options),
        st.builds(lambda part: {"type": "array", "items": part}, inner),
        st.builds(lambda parts: {"type": "object", "properties": parts}, properties),
        st.builds(lambda parts: {"properties": parts, "required": list(parts)[:1]}, properties),
        st.builds(lambda parts: {"type": ["object", "null"], "properties": parts}, properties),
        st.builds(lambda part: {"type": "object", "properties": {}, "additionalProperties": part}, inner),
    ]
    return st.builds(noted, st.one_of(*leaves, *deep), notes)


def noted(schema, notes):
    return schema if schema is True else {**notes, **schema}


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # most random schemas have no strict form
@given(root=schemas(), a=schemas(1), b=schemas(1), data=st.data())
def test_a_strict_form_allows_nothing_that_the_schema_does_not(root, a, b, data):
    try:
        made = output_schema({**(root if isinstance(root, dict) else {}), "$defs": {"a": a, "b": b}})
    except InputError:  # a circle of references
        assume(False)
    assume(made.is_strict)
    sent = data.draw(values_of(json.loads(json.dumps(made.wire))))
    assume(Draft202012Validator(made.wire).is_valid(sent))
    value = sent["value"] if made.is_wrapped else sent

    assert Draft202012Validator(made.schema).is_valid(value)
