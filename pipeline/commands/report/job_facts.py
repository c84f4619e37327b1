"""What a report says of the job itself: its config without secrets, how to repeat it, and with which versions."""

import io
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline._version import __version__
from pipeline.config import Config
from pipeline.config.base import Settings
from pipeline.errors import ConfigError
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.llm.transport.credentials import request_headers
from pipeline.system.redaction import REDACTED, Redaction, is_secret_name

LIBRARIES = ("polars", "pyarrow", "aiohttp")


def job_facts(job: Job) -> dict[str, Any]:
    """Return what the report says of *job*."""
    config = job.config
    return {
        "name": config.path.stem,
        "model": config.model.name,
        "simulated": config.model.provider == "simulate",
        "kind": config.task.kind,
        "labels": [label.name for label in config.task.labels],
        "unsure_below": config.task.unsure_below,
        "max_failed": str(config.limits.max_failed),
        "limits": {
            name: getattr(config.limits, name)
            for name in ("requests_per_minute", "tokens_per_minute", "max_concurrency", "max_cost_usd")
        },
        "command": command(config, job.options),
        "config": shown_config(config),
    }


def command(config: Config, options: RunOptions) -> str:
    """Return the command that repeats the run."""
    words: list[str] = []
    if options.limit is not None:
        words += ["--limit", str(options.limit)]
    if options.sample is not None:
        words += ["--sample", str(options.sample), "--seed", str(options.seed)]
    return config.command("run", *words)


def versions() -> dict[str, str]:
    """Return the versions of what took part."""
    found = {
        "pipeline": __version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def shown_config(config: Config) -> str:
    """Return *config* as YAML: the settings that are set, and no secret."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - takes long to import

    settings = _plain(config)
    del settings["path"]  # the file's own
    for model in settings.get("model", {}), settings.get("escalate", {}).get("model", {}):
        for endpoint in model, *model.get("endpoints", ()):
            headers = endpoint.get("headers", {})
            headers.update({name: REDACTED for name in headers if is_secret_name(name)})
    if settings.get("notify", {}).get("healthcheck_url"):
        settings["notify"]["healthcheck_url"] = REDACTED
    shown = io.StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump(_plain(settings), shown)
    asked = chain.from_iterable(each.each_endpoint() for each in (config, config.second) if each)
    return Redaction(chain.from_iterable(map(_secrets, asked))).of(shown.getvalue())


def _plain(value: Any) -> Any:
    """Return *value* as YAML has it: mappings, lists, texts, numbers."""
    if isinstance(value, Settings):
        return {
            name: _plain(getattr(value, name))
            for name in type(value).model_fields
            if name in value.model_fields_set
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _secrets(config: Config) -> Iterator[str]:
    """Yield all that must not be shown: the key, headers, parameters and logins in URLs."""
    try:
        headers = request_headers(config.model)
    except ConfigError:  # without its key a report can be drawn all the same
        headers = config.model.headers
    yield from (value for name, value in headers.items() if is_secret_name(name))
    if config.notify.healthcheck_url:
        yield config.notify.healthcheck_url
    for url in filter(None, (config.model.base_url, str(config.model.proxy))):
        parts = urlsplit(url)
        yield from (value for name, value in parse_qsl(parts.query) if is_secret_name(name))
        yield from filter(None, (parts.password, parts.username))
