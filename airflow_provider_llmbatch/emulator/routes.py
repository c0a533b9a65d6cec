"""The table of everything that can be called."""

from __future__ import annotations

from airflow_provider_llmbatch.emulator import control
from airflow_provider_llmbatch.emulator.anthropic import batches as anthropic_batches
from airflow_provider_llmbatch.emulator.anthropic import desk as anthropic_desk
from airflow_provider_llmbatch.emulator.anthropic import files as anthropic_files
from airflow_provider_llmbatch.emulator.anthropic import guard as anthropic_guard
from airflow_provider_llmbatch.emulator.anthropic import models as anthropic_models
from airflow_provider_llmbatch.emulator.anthropic import sync as anthropic_sync
from airflow_provider_llmbatch.emulator.asgi import Application, Guard, Route
from airflow_provider_llmbatch.emulator.openai import admin as openai_admin
from airflow_provider_llmbatch.emulator.openai import batches as openai_batches
from airflow_provider_llmbatch.emulator.openai import desk as openai_desk
from airflow_provider_llmbatch.emulator.openai import files as openai_files
from airflow_provider_llmbatch.emulator.openai import guard as openai_guard
from airflow_provider_llmbatch.emulator.openai import models as openai_models
from airflow_provider_llmbatch.emulator.openai import sync as openai_sync
from airflow_provider_llmbatch.emulator.openai.endpoints import ENDPOINTS
from airflow_provider_llmbatch.emulator.wire import Vendor
from airflow_provider_llmbatch.emulator.world import World

ROUTES = [
    Route("POST", "/v1/files", "openai.files.create", openai_files.create),
    Route("GET", "/v1/files", "openai.files.list", openai_files.list_files),
    Route("GET", "/v1/files/{file_id}", "openai.files.retrieve", openai_files.retrieve),
    Route("DELETE", "/v1/files/{file_id}", "openai.files.delete", openai_files.delete),
    Route("GET", "/v1/files/{file_id}/content", "openai.files.content", openai_files.content),
    Route("POST", "/v1/batches", "openai.batches.create", openai_batches.create),
    Route("GET", "/v1/batches", "openai.batches.list", openai_batches.list_batches),
    Route("GET", "/v1/batches/{batch_id}", "openai.batches.retrieve", openai_batches.retrieve),
    Route("POST", "/v1/batches/{batch_id}/cancel", "openai.batches.cancel", openai_batches.cancel),
    *(Route("POST", path, endpoint.operation, openai_sync.answer) for path, endpoint in ENDPOINTS.items()),
    Route("GET", "/v1/models", "openai.models.list", openai_models.list_models),
    Route("GET", "/v1/models/{model}", "openai.models.retrieve", openai_models.get_model),
    Route(
        "GET",
        "/v1/organization/projects/{project}/rate_limits",
        "openai.admin.rate_limits.list",
        openai_admin.rate_limits,
    ),
    Route("POST", "/v1/messages/batches", "anthropic.batches.create", anthropic_batches.create),
    Route("GET", "/v1/messages/batches", "anthropic.batches.list", anthropic_batches.list_batches),
    Route("GET", "/v1/messages/batches/{batch_id}", "anthropic.batches.retrieve", anthropic_batches.retrieve),
    Route("POST", "/v1/messages/batches/{batch_id}/cancel", "anthropic.batches.cancel", anthropic_batches.cancel),
    Route("DELETE", "/v1/messages/batches/{batch_id}", "anthropic.batches.delete", anthropic_batches.delete),
    Route("GET", "/v1/messages/batches/{batch_id}/results", "anthropic.batches.results", anthropic_batches.results),
    Route("POST", "/v1/messages", "anthropic.messages.create", anthropic_sync.create),
    Route("POST", "/v1/messages/count_tokens", "anthropic.messages.count_tokens", anthropic_sync.count_tokens),
    Route("POST", "/v1/files", "anthropic.files.create", anthropic_files.create),
    Route("GET", "/v1/files", "anthropic.files.list", anthropic_files.list_files),
    Route("GET", "/v1/files/{file_id}", "anthropic.files.retrieve", anthropic_files.retrieve),
    Route("DELETE", "/v1/files/{file_id}", "anthropic.files.delete", anthropic_files.delete),
    Route("GET", "/v1/models", "anthropic.models.list", anthropic_models.list_models),
    Route("GET", "/v1/models/{model}", "anthropic.models.retrieve", anthropic_models.get_model),
    Route("GET", "/v1/organizations/rate_limits", "anthropic.admin.rate_limits.list", anthropic_models.rate_limits),
    Route("GET", "/_emulator/health", "control.health", control.health),
    Route("GET", "/_emulator/bill", "control.bill", control.bill),
    Route("GET", "/_emulator/calls", "control.calls", control.calls),
    Route("GET", "/_emulator/faults", "control.faults.list", control.faults),
    Route("POST", "/_emulator/faults", "control.faults.add", control.add_faults),
    Route("DELETE", "/_emulator/faults", "control.faults.clear", control.clear_faults),
    Route("POST", "/_emulator/clock", "control.clock", control.clock),
    Route("POST", "/_emulator/reset", "control.reset", control.reset),
    Route("POST", "/_emulator/options", "control.options", control.options),
]


def make_application(world: World) -> Application:
    """Put the vendors' desks into *world*, and the routes in front of it."""
    world.desks = {"openai": openai_desk.Desk(world), "anthropic": anthropic_desk.Desk(world)}
    guards: dict[Vendor, Guard] = {
        "openai": Guard(openai_guard.admit, openai_guard.headers),
        "anthropic": Guard(anthropic_guard.admit, anthropic_guard.headers),
    }
    return Application(world, ROUTES, guards)
