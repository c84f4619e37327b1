"""The examples for Ray Jobs and KubeRay: what Kubernetes takes, and commands that there are."""

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.jobs import JobFiles, command, texts

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs/examples"


def spec() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(EXAMPLES / "ray-rayjob.yaml")
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayJob")
    spec = found["spec"]
    assert isinstance(spec, dict)
    return spec


def of_ray_jobs() -> str:
    (found,) = re.findall(
        r"ray job submit .* -- (.*) && exit$", (EXAMPLES / "ray_job.sh").read_text(), re.MULTILINE
    )
    assert isinstance(found, str)
    return found


def test_the_pods_are_what_kubernetes_takes() -> None:
    cluster = spec()["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, **group["template"]}
        kubernetes_validate.validate(pod, "1.33", strict=True)


def test_there_is_a_node_for_each_slice_and_the_ray_is_that_of_the_tests() -> None:
    cluster = spec()["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert f"--workers {group['replicas']}" in spec()["entrypoint"]
    assert group["minReplicas"] == group["maxReplicas"] == group["replicas"]
    assert f"ray=={cluster['rayVersion']}" in (ROOT / ".ci/constraints.txt").read_text().split()


@pytest.mark.parametrize("line", [spec()["entrypoint"], of_ray_jobs()])
def test_the_commands_have_options_that_there_are(job: JobFiles, line: str) -> None:
    job.table(texts(5))
    program, option, module, verb, config, *options = shlex.split(line)
    assert (program, option, module, verb) == ("python", "-m", "pipeline", "run")
    assert config.endswith("/configs/tags.yaml") or config == "$CONFIG"
    planned = command("run", str(job.config_file()), *options, "--dry-run")
    assert planned.returncode == 0, planned.stderr
