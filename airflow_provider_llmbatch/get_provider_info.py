"""What Airflow reads about this package at start-up, in every process: so it imports nothing."""


def get_provider_info() -> dict[str, object]:
    """Describe the package: modules, connection forms, settings.

    Airflow checks the answer against its own ``provider_info.schema.json``.
    """
    return {
        "package-name": "airflow-provider-llmbatch",
        "name": "LLM Batch",
        "description": "OpenAI and Anthropic batch jobs of any size: a table in, the same table out, "
        "with an answer, a verdict and a price in every row.",
        "integrations": [
            {
                "integration-name": "OpenAI Batch API",
                "external-doc-url": "https://platform.openai.com/docs/guides/batch",
                "tags": ["ai"],
            },
            {
                "integration-name": "Anthropic Message Batches API",
                "external-doc-url": "https://platform.claude.com/docs/en/build-with-claude/batch-processing",
                "tags": ["ai"],
            },
            {"integration-name": "LLM Batch", "tags": ["ai"]},
        ],
        "hooks": [
            _modules("OpenAI Batch API", "hooks.openai"),
            _modules("Anthropic Message Batches API", "hooks.anthropic"),
        ],
        "operators": [_modules("LLM Batch", "operators.job", "operators.reconcile", "operators.cancel")],
        "sensors": [_modules("LLM Batch", "sensors.job")],
        "triggers": [_modules("LLM Batch", "triggers.job")],
        "task-decorators": [
            {"name": "llm_batch_job", "class-name": "airflow_provider_llmbatch.decorators.job.llm_batch_job_task"}
        ],
        "connection-types": [_openai_connection(), _anthropic_connection()],
        "config": {
            "llmbatch": {
                "description": "Settings of airflow-provider-llmbatch.",
                "options": {"base_uri": _BASE_URI, "prices": _PRICES, "reading_processes": _READING_PROCESSES},
            }
        },
    }


_BASE_URI: dict[str, object] = {
    "description": "Folder under which every job keeps its requests, results and events. It must be storage "
    "that every worker reaches. Empty: a folder in AIRFLOW_HOME, which serves one machine.",
    "type": "string",
    "default": "",
    "example": "s3://lake/llmbatch",
    "version_added": "0.1.0",
}
_PRICES: dict[str, object] = {
    "description": "File, TOML or JSON, with prices of your own by vendor and model. They go before those of "
    "genai-prices. Every worker must reach it. Empty: there is none.",
    "type": "string",
    "default": "",
    "example": "s3://lake/prices.toml",
    "version_added": "0.1.0",
}
_READING_PROCESSES: dict[str, object] = {
    "description": "Child processes that a task may fork at most to read large results on other cores. 0: none.",
    "type": "integer",
    "default": "2",
    "example": None,
    "version_added": "0.1.0",
}


def _modules(integration: str, *names: str) -> dict[str, object]:
    return {
        "integration-name": integration,
        "python-modules": [f"airflow_provider_llmbatch.{name}" for name in names],
    }


def _openai_connection() -> dict[str, object]:
    """Describe the form for OpenAI and the services that look like it."""
    return {
        "connection-type": "llmbatch_openai",
        "hook-class-name": "airflow_provider_llmbatch.hooks.openai.OpenAIBatchHook",
        "hook-name": "LLM Batch (OpenAI)",
        "conn-fields": {
            "model": _text("Model", "Used where a task names none, for example openai:gpt-6-luna."),
            "admin_key": _ADMIN_KEY,
            "organization": _text("Organization", "Sent as the OpenAI-Organization header."),
            "project": _text("Project", "Sent as the OpenAI-Project header."),
            "purpose": _text("File purpose", 'Look-alikes only; OpenAI wants "batch".'),
            "completion_window": _text("Completion window", 'Look-alikes only; OpenAI knows "24h".'),
            "list_mode": _text("List mode", "Look-alikes only: cursor, offset or none; how batches are listed."),
            "expire_files": _switch("Expire files", "Look-alikes only: off for those that refuse an expiry.", True),
            "keep_remote_files": _switch("Keep remote files", "Leave files at the vendor after success.", False),
            **_COMMON,
        },
        "ui-field-behaviour": _form("https://api.openai.com/v1"),
    }


def _anthropic_connection() -> dict[str, object]:
    return {
        "connection-type": "llmbatch_anthropic",
        "hook-class-name": "airflow_provider_llmbatch.hooks.anthropic.AnthropicBatchHook",
        "hook-name": "LLM Batch (Anthropic)",
        "conn-fields": {
            "model": _text("Model", "Used where a task names none, for example anthropic:claude-haiku-5-5."),
            "admin_key": _ADMIN_KEY,
            "betas": _text("Betas", "Beta features to ask for with every batch, with commas between them."),
            **_COMMON,
        },
        "ui-field-behaviour": _form("https://api.anthropic.com"),
    }


def _text(label: str, description: str) -> dict[str, object]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _count(label: str, description: str) -> dict[str, object]:
    return {"label": label, "description": description, "schema": {"type": ["integer", "null"], "minimum": 1}}


def _switch(label: str, description: str, default: bool) -> dict[str, object]:
    return {"label": label, "description": description, "schema": {"type": ["boolean", "null"], "default": default}}


_ADMIN_KEY: dict[str, object] = {
    "label": "Admin key",
    "description": "Reads what the vendor's batch queue holds, and nothing else.",
    "schema": {"type": ["string", "null"], "format": "password"},
}
_COMMON: dict[str, object] = {
    "max_requests": _count("Requests per batch", "Lower than the vendor's own limit, if at all."),
    "max_bytes": _count("Bytes per batch", "Lower than the vendor's own limit, if at all."),
    "client_kwargs": {
        "label": "Client arguments",
        "description": 'Further arguments for the SDK\'s client, for example {"timeout": 60}.',
        "schema": {"type": ["object", "null"]},
    },
}


def _form(base_url: str) -> dict[str, object]:
    return {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"host": "Base URL", "password": "API key"},
        "placeholders": {"host": base_url},
    }
