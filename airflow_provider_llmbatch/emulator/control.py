"""The routes under ``/_emulator``: a window into the emulator and a hand on its switches.  No key is needed."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from airflow_provider_llmbatch.emulator.faults import parse_fault
from airflow_provider_llmbatch.emulator.wire import Call, ControlError, reply
from airflow_provider_llmbatch.emulator.world import World


async def health(world: World, call: Call) -> Response:
    """``GET /_emulator/health``"""
    return reply(world.describe())


async def bill(world: World, call: Call) -> Response:
    """``GET /_emulator/bill``: what was accepted, and what had to be paid for."""
    await world.finish_work()  # OpenAI counts a batch's requests when it checks them, a moment after it took them
    await world.settle()
    return reply(world.books.bill(world.batches.values(), world.clock))


async def calls(world: World, call: Call) -> Response:
    """``GET /_emulator/calls?operation=&since=``: every vendor call in order."""
    query = call.request.query_params
    since = query.get("since", "0")
    if not since.isdigit():
        raise ControlError(400, f"since must be a call's number, got {since!r}")
    return reply(world.books.describe_calls(query.get("operation"), int(since)))


async def faults(world: World, call: Call) -> Response:
    """``GET /_emulator/faults``: what is switched on."""
    return reply({"faults": world.faults.describe()})


async def add_faults(world: World, call: Call) -> Response:
    """``POST /_emulator/faults``: one fault, or a list of them, as text or as JSON."""
    document = await _read(call)
    specs = document if isinstance(document, list) else [document]
    try:
        found = [parse_fault(spec) for spec in specs]
    except ValueError as error:
        raise ControlError(400, str(error)) from None
    return reply({"numbers": [world.faults.add(fault) for fault in found]})


async def clear_faults(world: World, call: Call) -> Response:
    """``DELETE /_emulator/faults``"""
    world.faults.clear()
    return reply({"faults": []})


async def clock(world: World, call: Call) -> Response:
    """``POST /_emulator/clock {"advance": seconds}``: skip emulated time; what would have ended, has."""
    document = await _read(call)
    seconds = document.get("advance") if isinstance(document, dict) else None
    if not isinstance(seconds, (int, float)) or seconds < 0:
        raise ControlError(400, f"advance must be a number of seconds, got {seconds!r}")
    await world.advance(seconds)
    return reply({"now": world.clock.now()})


async def reset(world: World, call: Call) -> Response:
    """``POST /_emulator/reset``: forget everything but the options."""
    await world.reset()
    return reply({"status": "ok"})


async def options(world: World, call: Call) -> Response:
    """``POST /_emulator/options``: change some."""
    document = await _read(call)
    try:
        world.change(document if isinstance(document, dict) else {})
    except ValueError as error:
        raise ControlError(400, str(error)) from None
    return reply(world.describe())


async def _read(call: Call) -> Any:
    body = await call.request.body()
    try:
        return msgspec.json.decode(body or b"{}")
    except msgspec.DecodeError as error:
        raise ControlError(400, f"The body is not valid JSON: {error}") from None
