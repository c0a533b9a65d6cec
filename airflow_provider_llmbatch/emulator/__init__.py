"""A faithful, stateful, deterministic stand-in for OpenAI's and Anthropic's batch APIs, on 127.0.0.1.

    with Emulator(speed=3600) as emulator:
        client = openai.OpenAI(base_url=emulator.openai_url, api_key="any")

Written from the vendors' documents, and an island: it imports nothing else of this package, and neither SDK.

    server      the emulator as an object             __main__   and as a command
    options     everything that can be set            clock      emulated time and wall time
    asgi        the outermost layer                   transport  damage below HTTP
    routes      what can be called                    wire       calls, answers, errors
    world       the state                             batch  files  books  disk  ids
    lifecycle   how a batch moves                     work       how its requests are answered
    faults      what can go wrong on request          row_faults
    limits      rate limits                           prompt_cache  usage
    mind        the "model"
    openai  anthropic  control                        the routes themselves
"""

from __future__ import annotations

from airflow_provider_llmbatch.emulator.options import Options
from airflow_provider_llmbatch.emulator.server import Emulator

__all__ = ["Emulator", "Options"]
