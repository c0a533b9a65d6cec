"""The "model": sensible, deterministic answers."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llmbatch.emulator.mind.ask import Ask, Tool, count_bytes, count_tokens
from airflow_provider_llmbatch.emulator.mind.labels import split_offer
from airflow_provider_llmbatch.emulator.mind.patterns import example
from airflow_provider_llmbatch.emulator.mind.schema import Filler
from airflow_provider_llmbatch.emulator.mind.think import think
from airflow_provider_llmbatch.emulator.mind.wellformed import find_mistake


def answer(text: str, **more: Any) -> str:
    return think(Ask("m", text=text, **more), "seed").text


@pytest.mark.parametrize(
    ("prompt", "label"),
    [
        ("Label this review: great phone. Answer with one of: positive, negative, neutral.", "positive"),
        ("Classify the sentiment as positive, negative or neutral: It broke in a day.", "negative"),
        ("Classify the sentiment as positive, negative or neutral: It is a phone.", "neutral"),
        ("Answer with one of 'positive', 'negative'. Text: not good at all", "negative"),
        ("Answer with one of positive, negative. Text: no problems so far", "positive"),
        ("Choose one of positive, negative, mixed. Review: great sound, but it broke", "mixed"),
        ("Review: The food was cold and the waiter rude.\nSentiment (positive/negative/neutral):", "negative"),
        ("Is this review positive or negative? The battery died.", "negative"),
        ("Is this spam? (yes|no)\nCongratulations, you won a free prize!", "yes"),
        ("Is this spam? Answer yes or no.\nSee you at dinner.", "no"),
        ("Labels:\n- billing: money\n- shipping: parcels\n- technical\n\nMy parcel never arrived.", "shipping"),
        ("Categories: sports, politics, technology. The team won the match in the last minute.", "sports"),
        ("Which of (bug|feature|question)? The app shows an error and crashes.", "bug"),
        ("Pick from: urgent, normal. The whole site is down, please help immediately!", "urgent"),
        ("Respond with POSITIVE or NEGATIVE only. I love it.", "POSITIVE"),
    ],
)
def test_the_label_for_which_the_words_speak_is_picked(prompt: str, label: str) -> None:
    assert answer(prompt) == label


def test_labels_may_be_offered_by_the_system_prompt() -> None:
    system = "You label reviews. Reply with one of: positive, negative, neutral."

    assert answer("I hate it.", system=system) == "negative"
    assert answer("I love it.", system=system) == "positive"


@pytest.mark.parametrize(
    "text", ["What is the capital of France?", "Is the sky blue or is it red?", "She (he/she) said so.", "a, b and c"]
)
def test_what_offers_no_labels_is_echoed(text: str) -> None:
    assert split_offer(text)[0] == ()
    assert answer(text) == f"You asked: {text}"


def test_without_evidence_the_choice_is_spread_evenly() -> None:
    picked = [answer(f"Thing {n}. Answer with one of: red, green, blue.") for n in range(300)]

    assert all(70 < picked.count(colour) < 130 for colour in ("red", "green", "blue"))
    assert picked == [answer(f"Thing {n}. Answer with one of: red, green, blue.") for n in range(300)]


def test_json_mode_answers_in_json() -> None:
    assert json.loads(answer("Say it in JSON: hello", wants_json=True)) == {
        "answer": "You asked: Say it in JSON: hello"
    }
    assert json.loads(answer("JSON! One of: positive, negative. I love it.", wants_json=True)) == {"label": "positive"}


SCHEMA = {
    "type": "object",
    "properties": {
        "sentiment": {"enum": ["positive", "negative", "neutral"]},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "days": {"type": "integer", "minimum": 0, "maximum": 100},
        "topic": {"$ref": "#/$defs/Topic"},
        "is_positive": {"type": "boolean"},
    },
    "$defs": {"Topic": {"type": "string", "enum": ["billing", "shipping", "product"]}},
}


def test_a_schema_is_filled_by_the_words_of_the_text() -> None:
    text = "Terrible: the parcel arrived late, after 12 days, and the delivery man was rude."

    assert json.loads(answer(text, schema=SCHEMA)) == {
        "sentiment": "negative",
        "rating": 1,
        "days": 12,
        "topic": "shipping",
        "is_positive": False,
    }


names = st.sampled_from(["a", "b", "rating", "is_good", "text"])
leaves = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 3}, st.integers(0, 90)),
    st.builds(lambda form: {"type": "string", "format": form}, st.sampled_from(["date", "date-time", "email", "uuid"])),
    st.builds(lambda low: {"type": "integer", "minimum": low, "maximum": low + 3}, st.integers()),
    st.builds(lambda high: {"type": "integer", "exclusiveMaximum": high}, st.integers(-500, 500)),
    st.builds(lambda low: {"type": "number", "minimum": low, "multipleOf": 0.5}, st.integers(-50, 50)),
    st.builds(lambda step: {"type": "integer", "minimum": 1, "multipleOf": step}, st.integers(1, 40)),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=4) | st.integers(), min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, st.text(max_size=4) | st.none() | st.integers()),
    st.just({"type": ["string", "null"]}),
    st.just({"$ref": "#/$defs/Leaf"}),
    st.just({"type": "string", "pattern": r"^[A-Z]{2}-\d{3}$"}),
    st.just({}),
)  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)},
            st.dictionaries(names, inner, max_size=4),
        ),
        st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 4)),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=10,
)


@given(schema=schemas, text=st.text(max_size=60), key=st.text(max_size=3))
def test_whatever_the_schema_the_answer_satisfies_it(schema: dict[str, Any], text: str, key: str) -> None:
    root = {**schema, "$defs": {"Leaf": {"type": "integer", "minimum": 3, "maximum": 7}}}

    jsonschema.validate(Filler(root, text, key).fill(root), root)


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        },
        "required": ["name", "children", "next"],
    }
    root = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    jsonschema.validate(Filler(root, "text", "key").fill(root), root)


def test_parts_of_a_schema_are_put_together() -> None:
    root = {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 4}}, "required": ["a"]},
            {"properties": {"b": {"allOf": [{"$ref": "#/$defs/Short"}, {"minLength": 2}]}}, "required": ["b"]},
        ],
        "$defs": {"Short": {"type": "string", "maxLength": 3}},
    }
    document = Filler(root, "A text.", "key").fill(root)

    jsonschema.validate(document, root)
    assert sorted(document) == ["a", "b"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"}, {"properties": []}, {"enum": []}, {"minimum": "1"}, {"required": "a"}, {"items": 1},
        {"properties": {"a": {"anyOf": [{"maxLength": -1}]}}}, {"multipleOf": 0}, [], None, {"$defs": {"x": 1}},
    ],
)  # fmt: skip
def test_what_is_no_schema_is_told_from_one(schema: Any) -> None:
    assert find_mistake(schema)


@pytest.mark.parametrize("schema", [{}, True, SCHEMA, {"items": False}, {"type": ["string", "null"]}, {"x-mine": [1]}])
def test_what_is_a_schema_is_taken_for_one(schema: Any) -> None:
    assert find_mistake(schema) is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{4}$", r"^\w+@\w+\.com$", r"^(yes|no)$", r"^(?:\+\d{1,3} )?\d{5,}$", r"^[^aeiou]{4}$", r"^a*b?c$",
        r"^\$\d+\.\d{2}$", r"^[\w-]{1,64}$", r"^#[0-9a-fA-F]{6}$", r"^.{3}$",
    ],
)  # fmt: skip
def test_a_string_is_written_for_a_pattern(pattern: str) -> None:
    for key in "abc":
        assert re.search(pattern, example(pattern, key))


@pytest.mark.parametrize("pattern", ["(", "[a", "a{", "(?=x)y", "*"])
def test_a_pattern_beyond_us_is_given_back(pattern: str) -> None:
    assert example(pattern, "key") == pattern


def test_the_tool_that_fits_the_question_is_called() -> None:
    tools = (
        Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}}),
        Tool("book_flight", {"type": "object", "properties": {"to": {"type": "string"}}}, "Book a seat on a plane."),
    )
    thought = think(Ask("m", text="Please book a plane to Rome.", tools=tools), "seed")

    assert thought.tool == tools[1]
    assert list(thought.arguments or {}) == ["to"]
    assert think(Ask("m", text="Book it.", tools=tools, tool_choice="get_weather"), "seed").tool == tools[0]
    assert think(Ask("m", text="Book it.", tools=tools, tool_choice="none"), "seed").tool is None


@pytest.mark.parametrize(
    ("limit", "tokens", "stop"), [(None, 10, "stop"), (10, 10, "stop"), (9, 9, "length"), (1, 1, "length")]
)
def test_an_answer_is_cut_at_its_limit(limit: int | None, tokens: int, stop: str) -> None:
    thought = think(Ask("m", text="x" * 29, limit=limit), "seed")

    assert (thought.tokens, thought.stop) == (tokens, stop)
    assert count_tokens(count_bytes(thought.text)) == tokens


def test_reasoning_is_paid_for_first() -> None:
    assert think(Ask("m", text="x" * 29, reasoning=5), "seed").tokens == 15
    starved = think(Ask("m", text="x" * 29, reasoning=5, limit=5), "seed")

    assert (starved.text, starved.tokens, starved.reasoning, starved.stop) == ("", 5, 5, "length")


@given(st.text(max_size=50))
def test_tokens_are_a_quarter_of_the_bytes_rounded_up(text: str) -> None:
    assert count_bytes(text) == len(text.encode())
    assert count_tokens(count_bytes(text)) == (len(text.encode()) + 3) // 4


@given(st.text(max_size=300), st.text(max_size=100))
def test_no_text_is_too_odd_to_be_answered(text: str, system: str) -> None:
    thought = think(Ask("m", text=text, system=system, limit=20), "seed")

    assert thought.tokens <= 20
