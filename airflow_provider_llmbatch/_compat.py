"""Airflow's names, wherever the installed release keeps them (2.11 to 3.x). Features by presence, not by version."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, ObjectStoragePath, XComArg
    from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
    from airflow.sdk.configuration import conf
    from airflow.sdk.definitions.context import Context
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
    from airflow.sdk.log import mask_secret
else:
    try:
        from airflow.sdk import BaseOperator, BaseSensorOperator, ObjectStoragePath, XComArg
        from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
        from airflow.sdk.definitions.context import Context
    except ImportError:  # Airflow 2
        from airflow.decorators.base import DecoratedOperator, TaskDecorator, task_decorator_factory
        from airflow.io.path import ObjectStoragePath
        from airflow.models.baseoperator import BaseOperator
        from airflow.models.xcom_arg import XComArg
        from airflow.sensors.base import BaseSensorOperator
        from airflow.utils.context import Context
    try:
        from airflow.sdk import BaseHook
    except ImportError:  # before 3.1
        from airflow.hooks.base import BaseHook
    try:
        from airflow.sdk.configuration import conf
        from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
    except ImportError:  # before 3.2
        from airflow.configuration import conf
        from airflow.exceptions import AirflowException, AirflowFailException, TaskDeferred
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:  # before 3.1
        from airflow.utils.log.secrets_masker import mask_secret


def deprecated_names(context: Context) -> Collection[str]:
    """Return the names in *context* that Airflow 2 keeps for old DAGs; to read one is to be warned."""
    names: Collection[str] = getattr(context, "_deprecation_replacements", ())
    return names


class Log(Protocol):
    """What Airflow's loggers have in common: the standard library's on 2.11, structlog's on 3.x."""

    def info(self, event: str, *args: Any) -> Any: ...

    def warning(self, event: str, *args: Any) -> Any: ...


__all__ = [
    "AirflowException",
    "AirflowFailException",
    "BaseHook",
    "BaseOperator",
    "BaseSensorOperator",
    "Context",
    "DecoratedOperator",
    "Log",
    "ObjectStoragePath",
    "TaskDecorator",
    "TaskDeferred",
    "XComArg",
    "conf",
    "deprecated_names",
    "mask_secret",
    "task_decorator_factory",
]
