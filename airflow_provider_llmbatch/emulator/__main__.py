"""``python -m airflow_provider_llmbatch.emulator``: the emulator as a command."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_llmbatch.emulator.options import Options, make_options
from airflow_provider_llmbatch.emulator.server import listen, make_server, url_of
from airflow_provider_llmbatch.emulator.world import World

_READY = """\
Ready: OpenAI at {url}/v1, Anthropic at {url}.  Point connections here:
  export AIRFLOW_CONN_OPENAI_DEFAULT='{{"conn_type": "openai", "host": "{url}/v1", "password": "{key}"}}'
  export AIRFLOW_CONN_ANTHROPIC_DEFAULT='{{"conn_type": "anthropic", "host": "{url}", "password": "{key}"}}'"""
_SINGULAR = {"keys": "key", "models": "model", "faults": "fault"}
"""Options that are given once per value."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser: one flag per option, with the text that the option itself carries."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_llmbatch.emulator",
        description="Emulate the batch APIs of OpenAI and Anthropic on 127.0.0.1.",
    )
    parser.add_argument("--port", type=int, default=8089, help="Port to listen on; 0: any.  Default: %(default)s.")
    parser.add_argument("--state-dir", type=Path, help="Folder in which the state survives a restart.")
    for field in dataclasses.fields(Options):
        _add_flag(parser, field)
    return parser


def _add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field[Any]) -> None:
    flag = "--" + _SINGULAR.get(field.name, field.name).replace("_", "-")
    text = field.metadata["help"]
    if field.name == "enqueued_tokens":
        parser.add_argument(flag, action="append", metavar="[MODEL=]TOKENS", help=f"{text}  May be repeated.")
    elif field.name in _SINGULAR:
        metavar = _SINGULAR[field.name].upper()
        parser.add_argument(flag, dest=field.name, action="append", metavar=metavar, help=f"{text}  May be repeated.")
    elif isinstance(field.default, bool):
        parser.add_argument(flag, action="store_true", default=None, help=text)
    else:
        shown = "" if field.default is None else f"  Default: {field.default:,}."
        parser.add_argument(flag, metavar="N", help=text + shown)


def read_options(arguments: argparse.Namespace) -> Options:
    """Turn the parsed flags into options.

    :raises ValueError: A value of the wrong type.
    """
    names = {field.name for field in dataclasses.fields(Options)}
    given = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    if "enqueued_tokens" in given:
        pairs = (item.rpartition("=") for item in given["enqueued_tokens"])
        given["enqueued_tokens"] = {model or "*": tokens for model, _, tokens in pairs}
    return make_options(given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run until TERM or INT."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    try:
        options = read_options(arguments)
        world = World(options, arguments.state_dir)
        door = listen(arguments.port)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    server = make_server(world, log_level="error")

    def leave(*_: object) -> None:
        # Before uvicorn listens to signals, and once more when it raises them again after its shutdown.
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    # Calls that come in before the server runs wait at the door.
    print(_READY.format(url=url_of(door), key=next(iter(options.keys), "emulator")), flush=True)
    server.run([door])
    return 0


if __name__ == "__main__":
    sys.exit(main())
