"""One batch of each endpoint, the whole way: file, batch, results, and nothing left behind."""

import json

import pytest

from airflow_provider_llmbatch.core.results import ToolCall
from airflow_provider_llmbatch.hooks._openai_endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from airflow_provider_llmbatch.hooks.calls import Marker
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings
from tests.hooks.asks import OPENAI, openai_request

MARKER = Marker(job="0123456789", shard="r1-00000", sha256="ab" * 32, count=1, since=0.0)
NOT_THERE = ["responses: a stored prompt", *(name for name in OPENAI if name.endswith("by id"))]
"""What would have to be at the vendor before."""


@pytest.fixture
def asked(emulator, tmp_path):
    """Ask requests in one batch, and return their results and the hook's further calls."""

    def ask(names):
        hook = OpenAIBatchHook("not_read")
        hook.settings = Settings(api_key="sk-batches-0123456789", base_url=emulator.openai_url)
        lines = {json.loads(openai_request(name).line)["custom_id"]: name for name in names}
        path = tmp_path / "requests.jsonl"
        path.write_bytes(b"".join(openai_request(name).line for name in names))
        batch_id = hook.create(path, hook.stage(path, "requests.jsonl"), MARKER).batch_id
        emulator.advance(3600)
        batch = hook.run(hook.look([batch_id]))[batch_id]
        hook.download(batch, tmp_path / "results.jsonl")
        hook.cleanup(batch)
        found = (tmp_path / "results.jsonl").read_bytes().splitlines()
        return {lines[json.loads(line)["custom_id"]]: hook.parse(line) for line in found}

    return ask


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS])
def test_every_kind_of_request_comes_back_with_an_answer(asked, emulator, endpoint):
    names = [name for name in OPENAI if name not in NOT_THERE and openai_request(name).lane.startswith(f"{endpoint} ")]

    results = asked(names)

    assert results.keys() == set(names)
    assert {result.status for result in results.values()} <= {"succeeded", "invalid"}
    assert all(result.output or result.tool_calls for result in results.values())
    assert not [call for call in emulator.calls("openai.files.delete") if call["status"] != 200]
    assert len(emulator.calls("openai.files.delete")) == 2


def test_an_answer_keeps_to_the_schema_and_a_call_to_its_parameters(asked):
    results = asked(["chat: output", "chat: tools"])

    (call,) = results["chat: tools"].tool_calls
    assert json.loads(results["chat: output"].output).keys() == {"score", "tags", "day"}
    assert isinstance(call, ToolCall)
    assert call.arguments.keys() == {"city"}


def test_vectors_come_in_the_order_of_their_texts_however_they_are_written(asked):
    texts = asked(["embeddings: texts of a column"])["embeddings: texts of a column"].output
    alone = asked(["embeddings: a text"])["embeddings: a text"].output

    assert len(texts) == 3
    assert texts[0] == alone
    assert len(asked(["embeddings: texts"])["embeddings: texts"].output[1]) == 256
