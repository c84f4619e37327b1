"""The section `notify`: where to report that a run began and how it ended."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipeline.config.base import Settings
from pipeline.config.values import CONTROL, wrong


class NotifySettings(Settings):
    """Who is told that a run began and how it ended."""

    healthcheck_url: str | None = Field(
        default=None,
        repr=False,
        description="Pinged as healthchecks.io wants it: URL/start, then URL or URL/fail with the end of the log. "
        "Whoever knows the URL can ping it, so write it as ${NAME}. Empty pings nobody.",
    )

    @field_validator("healthcheck_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if not url:  # ${HEALTHCHECK_URL:-} with the variable unset
            return None
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            sound = sound and "@" not in parts.netloc and url.isascii()
        except ValueError:
            sound = False
        if not sound or parts.query or parts.fragment or CONTROL.search(url) or " " in url:
            raise wrong(
                "is no address to ping: it has no login, no query, no blank and plain ASCII; "
                "write one such as https://hc-ping.com/<uuid>"
            )
        return url.rstrip("/")
