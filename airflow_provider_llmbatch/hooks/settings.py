"""What a connection says: key, address, and the few things that look-alike services need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit, urlunsplit

from airflow_provider_llmbatch._compat import BaseHook, mask_secret
from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.exceptions import InputError

if TYPE_CHECKING:
    from airflow_provider_llmbatch.hooks.base import BatchHook

DEFAULT_TIMEOUT = 600.0
"""Both SDKs' own default."""

ListMode = Literal["cursor", "offset", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A connection, read.

    :ivar api_key: From *password*. It is not shown in ``repr()``.
    :ivar admin_key: A key that may read the organization's limits; it reads nothing else and sends nothing.
    :ivar base_url: From *host*, *port* and *schema*; ``None`` is the vendor's own.
    :ivar client_kwargs: Further arguments for the SDK's client; its ``timeout`` is in seconds, 600 by default.
    :ivar max_requests: A look-alike's own limit, where it is lower than the vendor's.
    :ivar max_bytes: The same for bytes.
    :ivar list_mode: How a look-alike lists batches: ``cursor`` and ``offset`` say what *after* is; ``none``: batches
        are asked for one by one.
    :ivar betas: Beta features that the vendor is asked for by name, with every batch.
    :ivar keep_remote_files: Leave the vendor's input and result files where they are once our copy is durable.
    :ivar expire_files: Ask the vendor to forget files after a time of their own, for those that nobody deletes.
    """

    api_key: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None
    client_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    purpose: str = "batch"
    completion_window: str = "24h"
    max_requests: int | None = None
    max_bytes: int | None = None
    list_mode: ListMode = "cursor"
    betas: tuple[str, ...] = ()
    keep_remote_files: bool = False
    expire_files: bool = True

    def __post_init__(self) -> None:
        if self.list_mode not in get_args(ListMode):
            raise ValueError(f"list_mode must be one of {', '.join(get_args(ListMode))}")
        if min(self.max_requests or 1, self.max_bytes or 1) < 1:
            raise ValueError("max_requests and max_bytes must be at least 1")

    @property
    def timeout(self) -> float:
        """Seconds that the client waits for an answer."""
        return float(self.client_kwargs.get("timeout") or DEFAULT_TIMEOUT)

    def lower(self, limits: Limits) -> Limits:
        """Return *limits* with this connection's own ones applied where they are lower."""
        return replace(
            limits,
            max_requests=min(limits.max_requests, self.max_requests or limits.max_requests),
            max_bytes=min(limits.max_bytes, self.max_bytes or limits.max_bytes),
        )


_TEXTS = ("admin_key", "organization", "project", "purpose", "completion_window", "list_mode")
_NUMBERS = ("max_requests", "max_bytes")


def read_settings(hook: BatchHook) -> Settings:
    """Read the hook's connection. Any connection type will do.

    :raises InputError: There is no such connection, it holds no key, or its extra does not fit.
    """
    try:
        connection = hook.get_connection(hook.conn_id)
    except Exception as error:  # each Airflow release has its own class for "not found"
        raise InputError(
            f"connection {hook.conn_id!r} cannot be read ({type(error).__name__}). Nothing was sent. Create it with "
            f"the API key as its password, for example AIRFLOW_CONN_{hook.conn_id.upper()}="
            f'\'{{"conn_type": "{hook.conn_type}", "password": "…"}}\'.',
            conn_id=hook.conn_id,
        ) from None
    if not connection.password:
        raise InputError(
            f"connection {hook.conn_id!r} holds no API key: its password is empty. Nothing was sent.",
            conn_id=hook.conn_id,
        )
    extra = connection.extra_dejson
    if extra.get("admin_key"):
        mask_secret(str(extra["admin_key"]))  # Airflow knows the password for a secret, and not this
    try:
        facts: dict[str, Any] = {name: str(extra[name]) for name in _TEXTS if extra.get(name)}
        facts |= {name: int(extra[name]) for name in _NUMBERS if extra.get(name)}
        return Settings(
            api_key=connection.password,
            base_url=_base_url(connection),
            client_kwargs=dict(extra.get("client_kwargs") or {}),
            betas=_names(extra.get("betas")),
            keep_remote_files=_is_yes(extra.get("keep_remote_files"), default=False),
            expire_files=_is_yes(extra.get("expire_files"), default=True),
            **facts,
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f"connection {hook.conn_id!r}: its host or extra does not fit ({error}). Nothing was sent.",
            conn_id=hook.conn_id,
        ) from None


def _is_yes(value: Any, *, default: bool) -> bool:
    """Read a switch. A form that nobody touched sends null or an empty text."""
    return default if value in (None, "") else str(value).lower() in ("true", "1", "yes")


def _names(value: Any) -> tuple[str, ...]:
    """Read a list of names, or a text in which commas stand between them."""
    names = value.split(",") if isinstance(value, str) else value or ()
    return tuple(str(name).strip() for name in names if str(name).strip())


def default_model(conn_id: str | None) -> str:
    """Return the ``<vendor>:<model>`` that a connection names in its extra, or ``""``."""
    if conn_id is None:
        return ""
    try:
        return str(BaseHook.get_connection(conn_id).extra_dejson.get("model") or "")
    except Exception as error:  # each Airflow release has its own class for "not found"
        raise InputError(
            f"connection {conn_id!r} cannot be read ({type(error).__name__}). Nothing was sent.", conn_id=conn_id
        ) from None


def _base_url(connection: Any) -> str | None:
    """Put the address together, whichever way the connection was written: form, JSON or URI.

    *schema* is the protocol in the manner of Airflow's HTTP connections, or what a URI has after the host.
    """
    host, schema = connection.host, connection.schema or ""
    if not host:
        return None
    protocol, path = (schema, "") if schema in ("http", "https") else ("https", schema)
    url = urlsplit(host if "://" in host else f"{protocol}://{host}")
    port = f":{connection.port}" if connection.port and url.port is None else ""
    steps = [step for step in (url.path.rstrip("/"), path.strip("/")) if step]
    return urlunsplit((url.scheme, url.netloc + port, "/".join(steps), "", ""))
