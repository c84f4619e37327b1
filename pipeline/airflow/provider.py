"""The package's metadata as an Airflow provider: an operator, a hook and a connection type."""

from typing import Any

from pipeline._version import __version__

HOOK = "pipeline.airflow.hook.PipelineHook"
CONNECTION_TYPE = "pipeline"
INTEGRATION = "Pipeline"


def get_provider_info() -> dict[str, Any]:
    """Return the metadata, as Airflow's provider_info.schema.json describes it."""
    return {
        "package-name": "nano-pipeline",
        "name": INTEGRATION,
        "description": "Labels every row of a table by asking a small language model.",
        "versions": [__version__],
        "integrations": [{"integration-name": INTEGRATION, "external-doc-url": "", "tags": ["service"]}],
        "operators": [{"integration-name": INTEGRATION, "python-modules": ["pipeline.airflow.operator"]}],
        "hooks": [{"integration-name": INTEGRATION, "python-modules": ["pipeline.airflow.hook"]}],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK,
                "hook-name": "Pipeline (LLM endpoint)",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port", "extra"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {"host": "https://host/v1; empty for that of the config's provider"},
                },
            }
        ],
    }
