"""A job on disk: a config file, made from a sound one by replacing sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config import Config, load_config
from pipeline.errors import ConfigError, UsageError

SOUND = {
    "input": "{path: rows.parquet}",
    "task": '{instructions: Choose one., text: "{summary}", labels: [games, sound]}',
    "output": "{path: labelled.parquet}",
}
NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)


def task(**keys: str) -> str:
    """The section `task` of a sound config with other keys, each a YAML flow value."""
    sound = {"instructions": "Choose one.", "text": '"{summary}"', "labels": "[games, sound]"}
    return "\n  " + "\n  ".join(f"{key}: {value}" for key, value in {**sound, **keys}.items())


@dataclass(frozen=True, slots=True)
class Job:
    """Writes configs into a folder of its own and loads them."""

    folder: Path

    def write(self, text: str | None = None, **sections: str) -> Path:
        path = self.folder / "job.yaml"
        path.write_text(
            text or "".join(f"{key}: {value}\n" for key, value in {**SOUND, **sections}.items()), "utf-8"
        )
        return path

    def load(
        self,
        text: str | None = None,
        *,
        overrides: Sequence[str] = (),
        provider: str | None = None,
        env: Mapping[str, str] | None = None,
        **sections: str,
    ) -> Config:
        path = self.write(text, **sections)
        return load_config(path, overrides=overrides, provider=provider, env=env or {}, now=NOW)

    def problems(self, text: str | None = None, *, status: int = 78, **options) -> list[str]:
        """What is wrong with a config, without the name of the temporary folder."""
        with pytest.raises((ConfigError, UsageError)) as caught:
            self.load(text, **options)
        assert caught.value.exit_status == status
        assert all("\n" not in problem for problem in caught.value.problems)
        return [problem.replace(f"{self.folder}/", "") for problem in caught.value.problems]


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


@pytest.fixture
def task_text():
    return task
