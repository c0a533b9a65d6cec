"""The command line: one flag per option."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from airflow_provider_llmbatch.emulator import Options
from airflow_provider_llmbatch.emulator.__main__ import main, make_parser, read_options


def test_without_flags_the_options_are_the_defaults() -> None:
    assert read_options(make_parser().parse_args([])) == Options()


def test_every_option_can_be_set() -> None:
    text = (
        "--seed 3 --speed 60 --batch-seconds 10 --window-seconds 20 --cancel-seconds 5 --key a --key b --model m "
        "--cache --reasoning-tokens 9 --context-tokens 100 --empty-error-file-id --openai-max-requests 1 "
        "--openai-max-bytes 2 --openai-max-embedding-inputs 3 --anthropic-max-requests 4 --anthropic-max-bytes 5 "
        "--batches-per-hour 6 --enqueued-tokens gpt-6-luna=90000 --enqueued-tokens 7 "
        "--queued-requests 8 --batch-rpm 9 --rpm 10 --tpm 11"
    )
    flags = text.split()
    options = read_options(make_parser().parse_args([*flags, "--fault", "openai.* status=500"]))

    assert [field.name for field in dataclasses.fields(options) if getattr(options, field.name) == field.default] == []
    assert options.keys == ("a", "b")
    assert options.enqueued_tokens == {"gpt-6-luna": 90_000, "*": 7}
    assert options.faults == ("openai.* status=500",)


@pytest.mark.parametrize("flags", [["--speed", "fast"], ["--speed", "-1"], ["--nothing"], ["--fault", "explode"]])
def test_a_bad_flag_is_a_usage_error(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--port", "0", *flags])

    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_port_that_is_taken_is_a_usage_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as caught:
        main(["--port", str(taken.getsockname()[1])])

    assert caught.value.code == 2
    assert "in use" in capsys.readouterr().err
