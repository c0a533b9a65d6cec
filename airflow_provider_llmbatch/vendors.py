"""Which vendors there are. Strings only: Airflow reads this at start-up, in every process.

To add one, write ``hooks/<name>.py`` and a line here; ``tests/contract`` then holds it to the same rules as
the others. Other packages add theirs through the entry-point group ``airflow_provider_llmbatch.vendors``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from airflow_provider_llmbatch.exceptions import InputError, UnknownVendorError

if TYPE_CHECKING:
    from airflow_provider_llmbatch.hooks.base import BatchHook

VENDORS = {
    "anthropic": "airflow_provider_llmbatch.hooks.anthropic:AnthropicBatchHook",
    "openai": "airflow_provider_llmbatch.hooks.openai:OpenAIBatchHook",
}

ENTRY_POINT_GROUP = "airflow_provider_llmbatch.vendors"


def vendors() -> dict[str, str]:
    """Return every registered vendor and where its hook lives (``module:Class``)."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)} | VENDORS


def split_model(model: str) -> tuple[str, str]:
    """Split ``"<vendor>:<model>"``. The model's own name may hold colons (fine-tuned models do).

    :raises InputError: There is no colon, or nothing before it. Nothing behind it: every record names its own.
    :raises UnknownVendorError: The vendor is not registered.
    """
    vendor, colon, name = model.partition(":")
    if not (vendor and colon):
        raise InputError(
            f"model {model!r} must read '<vendor>:<model>', for example 'openai:gpt-6-luna'. Nothing was sent."
        )
    hook_path(vendor)
    return vendor, name


def hook_path(vendor: str) -> str:
    """Return where the hook of *vendor* lives.

    :raises UnknownVendorError: The vendor is not registered.
    """
    known = vendors()
    if vendor not in known:
        raise UnknownVendorError(
            f"unknown vendor {vendor!r}; there are {', '.join(sorted(known))}. Nothing was sent.",
            vendor=vendor,
        )
    return known[vendor]


def hook_class(vendor: str) -> type[BatchHook]:
    """Import and return the hook class of *vendor*. Importing it does not import the vendor's SDK."""
    module, _, name = hook_path(vendor).partition(":")
    found: type[BatchHook] = getattr(import_module(module), name)
    return found


def load_hook(vendor: str, conn_id: str | None = None) -> BatchHook:
    """Return the hook of *vendor* on the connection *conn_id* (default: the vendor's usual one)."""
    cls = hook_class(vendor)
    return cls(conn_id or cls.default_conn_name)
