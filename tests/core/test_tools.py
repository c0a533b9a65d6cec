"""Functions that the model may call: what it is told of them, whatever they are written in."""

import functools
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from airflow_provider_llmbatch.core.schemas import Tool
from airflow_provider_llmbatch.core.tools import tools_of
from airflow_provider_llmbatch.exceptions import InputError


def weather(city: Annotated[str, Field(description="Name of the city")], days: int = 1) -> str:
    """Look up the weather
    of a city.

    Not for the model: this calls a service.
    """


async def wait(*, seconds: Annotated[float, Field(gt=0)]):
    pass


def search(filters: dict[str, str]):
    """Search."""


class Book(BaseModel):
    """Book a seat."""

    to: str
    seats: int = 1


class Stop(BaseModel):
    name: str
    then: "Stop | None" = None


@dataclass
class Cancel:
    number: int


class Desk:
    def ask(self, question: str):
        """Ask the desk."""

    def __call__(self, question: str):
        """Ask the desk."""


CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
STRICT_CITY = {**CITY, "required": ["city"], "additionalProperties": False}
EMPTY = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_a_function_is_told_by_its_docstring_and_annotations():
    (tool,) = tools_of([weather])

    assert (tool.name, tool.description, tool.is_strict) == ("weather", "Look up the weather of a city.", True)
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "title": "City", "description": "Name of the city"},
            "days": {"type": "integer", "title": "Days"},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("tool", "name", "description", "properties", "is_strict"),
    [
        pytest.param(wait, "wait", "", {"seconds"}, True, id="an async function by keyword"),
        pytest.param(search, "search", "Search.", {"filters"}, False, id="a function of a free mapping"),
        pytest.param(Desk().ask, "ask", "Ask the desk.", {"question"}, True, id="a method"),
        pytest.param(Book, "Book", "Book a seat.", {"to", "seats"}, True, id="a model"),
        pytest.param(Stop, "Stop", "", {"name", "then"}, True, id="a recursive model without a docstring"),
        pytest.param(Cancel, "Cancel", "", {"number"}, True, id="a dataclass"),
    ],
)
def test_what_the_model_is_told(tool, name, description, properties, is_strict):
    (made,) = tools_of([tool])

    assert (made.name, made.description, made.is_strict) == (name, description, is_strict)
    assert made.parameters["type"] == "object"
    assert made.parameters["properties"].keys() == properties
    assert "description" not in made.parameters
    Draft202012Validator.check_schema(made.parameters)


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": CITY}}, id="chat"
        ),
        pytest.param({"type": "function", "name": "f", "description": "d", "parameters": CITY}, id="responses"),
        pytest.param({"name": "f", "description": "d", "input_schema": CITY}, id="anthropic"),
        pytest.param({"type": "custom", "name": "f", "description": "d", "input_schema": CITY}, id="anthropic, typed"),
        pytest.param(MappingProxyType({"name": "f", "description": "d", "input_schema": CITY}), id="any mapping"),
        pytest.param(Tool(name="f", description="d", parameters=STRICT_CITY, is_strict=True), id="ours"),
    ],
)
def test_all_dialects_mean_the_same(tool):
    assert tools_of([tool]) == [Tool(name="f", description="d", parameters=STRICT_CITY, is_strict=True)]


FREE = {"type": "object"}
CHOICE = {"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]}


@pytest.mark.parametrize(
    ("said", "parameters", "is_strict"),
    [
        pytest.param({"parameters": CITY, "strict": None}, STRICT_CITY, True, id="nothing said"),
        pytest.param({"parameters": CITY, "strict": True}, STRICT_CITY, True, id="strict"),
        pytest.param({"parameters": CITY, "strict": False}, CITY, False, id="not strict"),
        pytest.param({"parameters": FREE}, FREE, False, id="no strict form"),
        pytest.param({"parameters": FREE, "strict": True}, FREE, True, id="strict all the same"),
        pytest.param({"parameters": CHOICE}, CHOICE, False, id="a choice at the root"),
        pytest.param({}, EMPTY, True, id="no parameters"),
        pytest.param({"parameters": {}, "description": None}, EMPTY, True, id="empty parameters"),
    ],
)
def test_the_users_own_strict_is_obeyed(said, parameters, is_strict):
    (tool,) = tools_of([{"type": "function", "name": "f", **said}])

    assert (tool.parameters, tool.is_strict, tool.description) == (parameters, is_strict, "")


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param({"type": "web_search_20250305", "name": "web_search", "max_uses": 5}, id="a server tool"),
        pytest.param({"type": "web_search"}, id="a hosted tool"),
        pytest.param({"type": "custom", "name": "f", "format": {"type": "text"}}, id="a custom tool"),
        pytest.param({"type": "custom", "custom": {"name": "f"}}, id="a custom tool of chat"),
        pytest.param(
            {"name": "f", "input_schema": CITY, "cache_control": {"type": "ephemeral"}}, id="a key of one vendor"
        ),
        pytest.param({"type": "function", "name": "f", "parameters": CITY, "defer_loading": True}, id="another key"),
    ],
)
def test_a_vendors_own_words_are_sent_as_they_are(tool):
    assert tools_of([tool]) == [Tool(raw=tool)]


def many(*cities: str):
    pass


def named(**options: str):
    pass


def by_place(city: str, /):
    pass


def odd(what: type[Any]):
    pass


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        pytest.param([weather, lambda: 1], r"\[1\]: its name '<lambda>'", id="a lambda"),
        pytest.param([many], r"many takes \*cities", id="any number of arguments"),
        pytest.param([named], r"named takes \*\*options", id="any keyword"),
        pytest.param([by_place], "by_place takes city", id="an argument without a name"),
        pytest.param([odd], "no JSON Schema", id="an argument that is not data"),
        pytest.param([iter], "(does not say its parameters|cannot be given by name)", id="a built-in"),
        pytest.param([functools.partial(weather, "Bonn")], "a partial is no tool", id="a partial"),
        pytest.param([Desk()], "a Desk is no tool", id="an object"),
        pytest.param(["weather"], "a str is no tool", id="a name"),
        pytest.param([int], "must be an object", id="a type without fields"),
        pytest.param([{}], "neither a 'type' nor an 'input_schema'", id="an empty mapping"),
        pytest.param([{"name": "f", "parameters": CITY}], "neither a 'type' nor", id="a mapping of no dialect"),
        pytest.param([{"type": "function"}], "must be texts", id="no name"),
        pytest.param([{"type": "function", "name": "f", "strict": "yes"}], "true or false", id="a bad strict"),
        pytest.param([{"name": "f", "input_schema": 1}], "must be a JSON Schema", id="no schema"),
        pytest.param([{"name": "f", "input_schema": {"type": "array"}}], "must be an object", id="no object"),
        pytest.param([{"name": "f", "input_schema": {"type": "objec"}}], "at type", id="a bad schema"),
        pytest.param([{"name": "f!", "input_schema": CITY}], "its name 'f!'", id="a bad name"),
        pytest.param([{"name": "f" * 65, "input_schema": CITY}], "its name", id="a long name"),
        pytest.param([{"name": "f\n", "input_schema": CITY}], "its name", id="a name with a line break"),
        pytest.param([{"type": "web_search", "when": object()}], "as JSON", id="what is not JSON"),
        pytest.param([weather, weather], r"\[1\]: another tool is named 'weather'", id="one tool twice"),
        pytest.param([weather, {"type": "x", "name": "weather"}], r"\[1\]: another", id="one name twice"),
        pytest.param({"type": "web_search"}, "must be a list", id="not a list"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_is_sent(tools, reason):
    with pytest.raises(InputError, match=f"(?s)^tools.*{reason}.*Nothing was sent"):
        tools_of(tools)


@pytest.mark.parametrize("tools", [None, [], ()])
def test_no_tools_are_no_tools(tools):
    assert tools_of(tools) == []


def test_tools_of_one_kind_may_come_twice_if_they_have_no_name():
    assert len(tools_of([{"type": "mcp", "server_label": "a"}, {"type": "mcp", "server_label": "b"}])) == 2


def test_tools_can_be_kept_as_json():
    for tool in tools_of([weather, search, Stop, Book, {"type": "web_search"}]):
        kept = [tool.parameters, tool.raw]
        assert json.loads(json.dumps(kept)) == kept
