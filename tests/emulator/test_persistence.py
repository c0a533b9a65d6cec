"""What a state folder keeps: everything that a vendor would, across any kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from airflow_provider_llmbatch.emulator import Emulator
from tests.emulator.conftest import (
    anthropic_batch,
    anthropic_rows,
    chat_body,
    openai_batch,
    openai_rows,
)


class Process:
    """The emulator as a command, in a process that can be killed."""

    def __init__(self, folder: Path, *flags: str) -> None:
        command = [
            sys.executable,
            "-m",
            "airflow_provider_llmbatch.emulator",
            "--port",
            "0",
            "--state-dir",
            str(folder),
        ]
        self.process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        ready = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", ready)
        assert found, ready
        self.url = found.group()
        self.oai = openai.OpenAI(base_url=f"{self.url}/v1", api_key="k", max_retries=0)
        self.ant = anthropic.Anthropic(base_url=self.url, api_key="k", max_retries=0)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call a control route."""
        cast = dict[str, Any]
        if method == "GET":
            return self.oai.get(f"{self.url}/_emulator/{path}", cast_to=cast)
        return self.oai.post(f"{self.url}/_emulator/{path}", body=body, cast_to=cast)

    def end(self, number: int) -> int:
        """Send a signal and wait; return the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=20)  # it may still be saying that it is ready
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[Process] = []

    def start_one(*flags: str) -> Process:
        running.append(Process(tmp_path / "state", *flags))
        return running[-1]

    yield start_one
    for process in running:
        if process.process.poll() is None:
            process.end(signal.SIGKILL)


def test_everything_survives_a_kill(start: Any) -> None:
    first: Process = start("--speed", "0")
    ended = openai_batch(first.oai, 4, metadata={"a": "b"})
    theirs = anthropic_batch(first.ant, 4)
    first.control("POST", "clock", {"advance": 3_600})
    ended = first.oai.batches.retrieve(ended.id)
    content = first.oai.files.content(ended.output_file_id or "").content
    running = openai_batch(first.oai, 10)
    cancelled = anthropic_batch(first.ant, 10)
    first.control("POST", "clock", {"advance": 1_800})
    first.ant.messages.batches.cancel(cancelled.id)
    first.oai.chat.completions.create(**chat_body())
    bill, calls = first.control("GET", "bill"), first.control("GET", "calls")
    first.end(signal.SIGKILL)

    second: Process = start("--speed", "0")
    assert second.control("GET", "bill") == bill
    assert second.control("GET", "calls") == calls
    assert second.oai.batches.retrieve(ended.id) == ended
    assert second.oai.files.content(ended.output_file_id or "").content == content
    assert sorted(anthropic_rows(second.ant, theirs.id)) == [f"row-{n}" for n in range(4)]
    assert second.oai.batches.retrieve(running.id).status == "in_progress"
    second.control("POST", "clock", {"advance": 1_800})
    assert len(openai_rows(second.oai, second.oai.batches.retrieve(running.id).output_file_id)) == 10
    counts = second.ant.messages.batches.retrieve(cancelled.id).request_counts
    assert (counts.succeeded, counts.canceled) == (5, 5)
    third = openai_batch(second.oai, 1)
    assert third.id not in {ended.id, running.id}
    assert len(list(second.oai.batches.list())) == 3


def test_work_that_a_kill_interrupted_is_done_again_to_the_same_bytes(start: Any, tmp_path: Path) -> None:
    first: Process = start("--speed", "0")
    batch = openai_batch(first.oai, 300)
    first.control("POST", "clock", {"advance": 3_600})
    file_id = first.oai.batches.retrieve(batch.id).output_file_id or ""
    expected = sorted(json.loads(line)["id"] for line in first.oai.files.content(file_id).text.splitlines())
    first.end(signal.SIGKILL)
    # As if the kill had come while the answers were being written.
    folder = tmp_path / "state" / "batches" / batch.id
    for name in ("answered.json", "ended.json"):
        (folder / name).unlink()
    (folder / "answers.output").write_bytes(b"half a li")

    second: Process = start("--speed", "0")
    second.control("POST", "clock", {"advance": 3_600})
    rows = openai_rows(second.oai, second.oai.batches.retrieve(batch.id).output_file_id)
    assert sorted(row["id"] for row in rows) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_ends_it_cleanly(start: Any, number: int) -> None:
    assert start().end(number) == 0


def test_time_goes_on_while_the_emulator_is_away(tmp_path: Path) -> None:
    with Emulator(state_dir=tmp_path / "state", speed=0) as emulator:
        batch = openai_batch(openai.OpenAI(base_url=emulator.openai_url, api_key="k"), 2)
        emulator.advance(1_000)
        emulator.set_options(speed=1e9)
    with Emulator(state_dir=tmp_path / "state", speed=0) as emulator:
        client = openai.OpenAI(base_url=emulator.openai_url, api_key="k")
        assert client.batches.retrieve(batch.id).status == "completed"


def test_without_a_state_folder_nothing_is_left_behind() -> None:
    with Emulator(speed=0) as emulator:
        folder = emulator.world.folder
        openai_batch(openai.OpenAI(base_url=emulator.openai_url, api_key="k"), 2)
        assert folder.exists()

    assert not folder.exists()


def test_ids_of_deleted_things_are_not_used_again(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        with Emulator(state_dir=tmp_path / "state", speed=0) as emulator:
            oai = openai.OpenAI(base_url=emulator.openai_url, api_key="k")
            ant = anthropic.Anthropic(base_url=emulator.url, api_key="k")
            file = oai.files.create(file=("a.jsonl", b"{}"), purpose="batch")
            oai.files.delete(file.id)
            batch = anthropic_batch(ant, 1)
            emulator.advance(3_600)
            ant.messages.batches.delete(batch.id)
            ids += [file.id, batch.id]

    assert len(set(ids)) == 4


def test_a_port_that_is_taken_is_an_error(emulator: Emulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Emulator(port=int(emulator.url.rpartition(":")[2])).start()
