"""Everything that can be set, in one frozen dataclass: the command line and the control route are made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec


def _option(default: Any, text: str) -> Any:
    """Declare a field together with the sentence that ``--help`` and the docs print for it."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How the emulated vendors behave.  The limits are the documented ones (FACTS §1.2, §2.1, §2.2).

    Seconds are emulated unless the text says "wall": see :mod:`~airflow_provider_llmbatch.emulator.clock`.
    """

    seed: int = _option(0, "Seed of every id, order, answer and fault.")
    speed: float = _option(1200.0, "Emulated seconds per wall second.  0 stops time: only an advance moves it.")
    batch_seconds: float = _option(3600.0, "Seconds from the creation of a batch to its end.")
    window_seconds: float = _option(86_400.0, "Completion window: what is not done by then expires.")
    cancel_seconds: float = _option(600.0, "Seconds a batch stays in 'cancelling'.")

    keys: tuple[str, ...] = _option((), "Accept only these API keys.  Default: any that does not start with 'wrong'.")
    models: tuple[str, ...] = _option((), "Models to know besides the built-in catalogue.")
    cache: bool = _option(False, "Emulate prompt caching.  Off: no token is ever reported as cached.")
    reasoning_tokens: int = _option(0, "Reasoning tokens spent on each answer of a model that can reason.")
    context_tokens: int = _option(1_000_000, "Context window of every model, in tokens.")
    empty_error_file_id: bool = _option(False, "Report '' instead of null for a missing OpenAI error file.")

    openai_max_requests: int = _option(50_000, "Lines in an OpenAI batch file.")
    openai_max_bytes: int = _option(200_000_000, "Bytes of an OpenAI batch file.")
    openai_max_embedding_inputs: int = _option(50_000, "Inputs in an OpenAI embeddings batch, over all its lines.")
    anthropic_max_requests: int = _option(100_000, "Requests in an Anthropic batch.")
    anthropic_max_bytes: int = _option(256_000_000, "Bytes of the body that creates an Anthropic batch.")

    batches_per_hour: int = _option(2_000, "OpenAI batches created per wall hour; beyond, 429.")
    enqueued_tokens: Mapping[str, int] | None = _option(
        None, "Prompt tokens in OpenAI's queue, per model ('*': any); beyond, the batch fails."
    )
    queued_requests: int = _option(500_000, "Requests in Anthropic's queue; beyond, 429.")
    batch_rpm: int = _option(4_000, "Calls per wall minute over all Anthropic batch endpoints.")
    rpm: int | None = _option(None, "Synchronous calls per wall minute and model.  Default: no limit, no headers.")
    tpm: int | None = _option(None, "Synchronous tokens per wall minute and model.  Default: no limit, no headers.")

    faults: tuple[str, ...] = _option((), "Faults to start with, for example 'openai.batches.create status=429'.")

    def queue_of(self, model: str | None) -> int | None:
        """Return how many prompt tokens OpenAI's queue holds for *model*; ``None``: any number."""
        limits = self.enqueued_tokens or {}
        return limits.get(model or "", limits.get("*"))

    def __post_init__(self) -> None:
        for name in ("speed", "batch_seconds", "window_seconds", "cancel_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")


def make_options(changes: Mapping[str, Any], base: Options | None = None) -> Options:
    """Apply *changes* to *base*, converting text and lists to the fields' types.

    :raises ValueError: An unknown name, or a value of the wrong type.
    """
    types = {field.name: field.type for field in dataclasses.fields(Options)}
    unknown = sorted(set(changes) - set(types))
    if unknown:
        raise ValueError(f"Unknown options: {', '.join(unknown)}.  Known: {', '.join(types)}.")
    merged = dataclasses.asdict(base or Options()) | dict(changes)
    try:
        return msgspec.convert(merged, Options, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
