"""Every body that we make is one that OpenAI's SDK and the emulator take: none has a part too many or too few."""

import json
import sys

import openai
import pytest
from openai.types import EmbeddingCreateParams, ModerationCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams
from pydantic import TypeAdapter

from airflow_provider_llmbatch.core.requests import Change
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.openai.params import Rules
from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.hooks import _openai_endpoints
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from tests.hooks.asks import GOLDEN, OPENAI, openai_request

PARAMS = {
    CHAT: ChatParams,
    RESPONSES: ResponseParams,
    EMBEDDINGS: EmbeddingCreateParams,
    COMPLETIONS: CompletionParams,
    MODERATIONS: ModerationCreateParams,
}
TURNS = [{"role": "assistant", "content": "{}"}, {"role": "user", "content": "'score' is missing."}]
CHANGES = {
    "nothing": Change(),
    "model": Change(model="gpt-6-sol"),
    "bound": Change(max_tokens=128),
    "turns": Change(turns=TURNS),
    "all": Change(model="gpt-6-sol", max_tokens=128, turns=TURNS),
}
TAKES = {
    CHAT: list(CHANGES),
    RESPONSES: list(CHANGES),
    EMBEDDINGS: ["nothing", "model"],
    COMPLETIONS: ["nothing", "model", "bound"],
    MODERATIONS: ["nothing", "model"],
}
LINES = [
    pytest.param(json.loads(line), id=f"{file}-{number}")
    for file in ("openai-chat", "openai-responses", "openai-features")
    for number, line in enumerate((GOLDEN / f"{file}.jsonl").read_bytes().splitlines())
]


@pytest.fixture(scope="module")
def adapters():
    """Return the SDK's request types; a list is read at once, not when somebody gets to it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("openai.types") and hasattr(module, "Iterable"):
                patch.setattr(module, "Iterable", list)
        yield {endpoint: TypeAdapter(params) for endpoint, params in PARAMS.items()}


def known(endpoint, body):
    """Leave out what the asks for both vendors and all endpoints bring along for the others."""
    return {name: value for name, value in body.items() if name in PARAMS[endpoint].__annotations__}


@pytest.mark.parametrize("line", LINES)
def test_a_body_is_of_the_sdks_type_down_to_its_last_part(adapters, line):
    body = known(line["url"], line["body"])

    assert adapters[line["url"]].validate_python(body) == body


@pytest.mark.parametrize("name", [name for name in OPENAI if name != "responses: a stored prompt"])
def test_a_body_passes_the_emulators_validation(name):
    """All but one: the emulator stores no prompts."""
    line = json.loads(openai_request(name).line)
    rules = Rules(Options(), knows_file=lambda _: True, in_batch=True)

    assert ENDPOINTS[line["url"]].read(line["body"], rules).model == line["body"]["model"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name}-{change}")
        for name in OPENAI
        for change in TAKES[json.loads(openai_request(name).line)["url"]]
    ],
)
def test_a_changed_body_is_of_the_sdks_type_too(adapters, name, change):
    line = openai_request(name).line

    changed = json.loads(OpenAIBatchHook("c").revise("id-2-0", line, CHANGES[change]).line)

    assert adapters[changed["url"]].validate_python(changed["body"]) == changed["body"]


def homes(tables, name):
    """Return the endpoints that know the parameter *name*."""
    return {endpoint for endpoint, names in tables.items() if name in names}


def test_a_parameter_belongs_to_the_endpoints_that_the_sdk_gives_it_to():
    ours = {url: {name.removeprefix("stored_") for name in names} for url, names in _openai_endpoints._KNOWN.items()}
    theirs = {url: set(params.__annotations__) for url, params in PARAMS.items()}

    for name in set().union(*ours.values()):
        assert homes(theirs, name) <= homes(ours, name), name
    if openai.__version__ == "3.54.0":  # from which the table was read; others know some names more or less
        assert ours == theirs
