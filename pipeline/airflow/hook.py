"""The hook: reads the endpoint's key and base URL from an Airflow connection."""

from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import BaseHook

from pipeline.airflow.provider import CONNECTION_TYPE


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint that a connection describes.

    Attributes:
        base_url: Its base URL; None for that of the config's provider.
        key: The API key; None if it needs none.
    """

    base_url: str | None
    key: str | None = field(repr=False)


class PipelineHook(BaseHook):
    """Reads the key and the base URL of an OpenAI-compatible endpoint from a connection.

    Its own type `pipeline` has the key as password and the base URL as host. Connections of type `openai` and `http`
    are accepted, too: `http` has schema, host and port, and the path of the base URL in its extra field `base_path`.
    """

    conn_name_attr = "llm_conn_id"
    default_conn_name = "pipeline_default"
    conn_type = CONNECTION_TYPE
    hook_name = "Pipeline (LLM endpoint)"

    def __init__(self, llm_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llm_conn_id = llm_conn_id

    def get_conn(self) -> Endpoint:
        """Return the endpoint that the connection describes.

        Raises:
            AirflowNotFoundException: If there is no such connection.
        """
        connection = self.get_connection(self.llm_conn_id)
        extra = connection.extra_dejson
        client = extra.get("openai_client_kwargs") or {}
        return Endpoint(
            base_url=_base_url(connection, extra) or client.get("base_url"),
            key=connection.password or client.get("api_key"),
        )


def _base_url(connection: Any, extra: dict[str, Any]) -> str | None:
    host = (connection.host or "").rstrip("/")
    if not host:
        return None
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if connection.port:
        host = f"{host}:{connection.port}"
    path = str(extra.get("base_path") or "").strip("/")
    return f"{host}/{path}" if path else host
