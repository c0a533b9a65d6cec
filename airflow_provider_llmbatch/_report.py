"""Writes a job's record to its task instance, from a worker or from the triggerer.

The record goes through Airflow's plain XCom table, not through a configured backend, so that the dashboard can read it
without access to anybody's bucket. Reporting may fail; the job may not fail with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_llmbatch.core.progress import KEY

log = logging.getLogger(__name__)


def report(task_instance: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write *record* as the XCom ``llm_batch_job``. It blocks: on an event loop, call it in a thread.

    :param task_instance: ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    """
    try:
        _xcom().set(key=KEY, value=dict(record), **task_instance)
    except Exception as error:  # whatever it is, the batch matters more
        log.debug("The record %s could not be written: %s", KEY, type(error).__name__)


def _xcom() -> Any:
    try:
        from airflow.sdk.bases.xcom import BaseXCom
    except ImportError:  # Airflow 2
        from airflow.models import xcom

        return xcom.BaseXCom
    return BaseXCom
