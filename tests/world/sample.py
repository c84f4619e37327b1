"""The sample's 240 rows as a job for an endpoint of the world: what `configs/tags.yaml` says, and one section changed."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from tests.jobs import JobFiles
from tests.world.endpoint import Endpoint
from tests.world.server import WorldServer

ROOT = Path(__file__).parent.parent.parent
PACKAGES = pl.read_parquet(ROOT / "data/sample/packages.parquet")
ROWS = PACKAGES.height
SECTIONS: Mapping[str, str] = dict(zip(PACKAGES["summary"], PACKAGES["section"], strict=True))


def section_of(text: str) -> str:
    """Return what the models of the world say about a row: the section of the package with that summary."""
    return SECTIONS.get(text.partition("\n")[0], PACKAGES["section"][0])  # the control is about no package


SAID = [section_of(summary) for summary in PACKAGES["summary"]]
"""The labels that the endpoints say, in the rows' order."""


class SampleJob(JobFiles):
    """The sample's job in a folder of its own, set as a user of the endpoint would."""

    def __init__(self, folder: Path, endpoint: Endpoint, base_url: str) -> None:
        super().__init__(folder, base_url)
        self._env = endpoint.env
        example: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "configs/tags.yaml")
        self.settings |= {
            "input": {"path": str(ROOT / "data/sample/packages.parquet"), "id": "package"},
            "task": example["task"],
            "model": {"base_url": base_url, **endpoint.model},
            "limits": {**example["limits"], "max_cost_usd": None, "max_outage": "10s"},
        }
        self.set(**endpoint.config)

    def started(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the job with the endpoint's environment."""
        return self.run(*arguments, env=self._env)


def job_for(server: WorldServer, folder: Path) -> SampleJob:
    return SampleJob(folder, server.endpoint, server.base_url)
