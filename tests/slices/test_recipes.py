"""The commands of the examples for Kubernetes, Airflow and SLURM, run as those systems run them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import polars as pl
import pytest
from ruamel.yaml import YAML

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, environment, right_label, texts

DOCS = Path(__file__).parents[2] / "docs"
COUNT = 8
DAY = "2026-01-31"


def as_applied(name: str) -> str:
    """A manifest as the page's commands hand it to kubectl."""
    page = (DOCS / "many_workers.md").read_text()
    (command,) = re.findall(rf"^(sed .* {name}) \|", page, re.MULTILINE)
    done = subprocess.run(
        ["sh", "-c", f"day={DAY}; {command}"],
        cwd=DOCS / "examples",
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(as_applied(name))
    return found


def container(name: str) -> dict[str, Any]:
    (found,) = manifest(name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def of_airflow(task: str) -> list[str]:
    """What a task of the DAG runs: its `bash_command`, as a shell gets it for the run of DAY."""
    for node in ast.walk(ast.parse((DOCS / "examples/sliced_tags.py").read_text())):
        if isinstance(node, ast.Call):
            given = {word.arg: word.value for word in node.keywords}
            if isinstance(name := given.get("task_id"), ast.Constant) and name.value == task:
                return ["bash", "-c", ast.literal_eval(given["bash_command"]).replace("{{ ds }}", DAY)]
    raise AssertionError(f"no task {task}")


def of_slurm(config: Path) -> Iterator[list[str]]:
    page = (DOCS / "many_workers.md").read_text()
    (asks,) = re.findall(r"^srun (.*)$", page, re.MULTILINE)
    (assembles,) = re.findall(r"afterok:\.\.\.\): (.*)$", page, re.MULTILINE)
    for line in (asks.partition("#")[0], assembles):
        yield ["bash", "-c", line.replace("configs/tags.yaml", str(config))]


def given_by(home: str) -> dict[str, str]:
    """The variables that stand in the files, or in the command that starts the job."""
    if home == "kubernetes":
        both = [container(f"kubernetes-{name}.yaml")["env"] for name in ("slices", "assemble")]
        assert both[0] == both[1]
        return {each["name"]: each["value"] for each in both[0]}
    return {"DATE": DAY} if home == "slurm" else {}


@pytest.mark.slow
@pytest.mark.parametrize("home", ["kubernetes", "airflow", "slurm"])
def test_the_commands_label_the_table(job: JobFiles, server: FaultServer, home: str) -> None:
    job.table(texts(40))
    config = job.set(output={"path": "out-${now:%Y-%m-%d}.parquet"}).config_file()
    asks, assembles = {
        "kubernetes": lambda: (
            container("kubernetes-slices.yaml")["command"],
            container("kubernetes-assemble.yaml")["command"],
        ),
        "airflow": lambda: (of_airflow("slice"), of_airflow("assemble")),
        "slurm": lambda: tuple(of_slurm(config)),
    }[home]()
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    for index in range(COUNT):
        told = {"JOB_COMPLETION_INDEX": index, "SLURM_ARRAY_TASK_ID": index, "SLICE": f"{index}/{COUNT}"}
        variables = {name: str(value) for name, value in told.items()} | given_by(home)
        variables |= {"CONFIG": str(config), "PATH": path}
        subprocess.run(asks, env=environment(variables), check=True, capture_output=True)
    subprocess.run(assembles, env=environment(variables), check=True, capture_output=True)
    labelled = pl.read_parquet(job.folder / f"out-{DAY}.parquet")
    assert labelled["label"].to_list() == [right_label(text) for text in texts(40)]
    assert len(asked(server)) == 40


MANIFESTS = (
    "kubernetes-slices.yaml",
    "kubernetes-assemble.yaml",
    "kubernetes-store.yaml",
    "kubernetes-store-assemble.yaml",
)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_are_what_kubernetes_takes(name: str) -> None:
    kubernetes_validate.validate(manifest(name), "1.33", strict=True)


def test_pods_without_a_shared_disk_run_the_same_commands_and_keep_their_copies_on_their_own() -> None:
    for shared, apart in zip(MANIFESTS[:2], MANIFESTS[2:], strict=True):
        assert container(apart)["command"] == container(shared)["command"]
        (folder,) = (each["value"] for each in container(apart)["env"] if each["name"] == "TMPDIR")
        (volume,) = (each["name"] for each in container(apart)["volumeMounts"] if each["mountPath"] == folder)
        volumes = {each["name"]: each for each in manifest(apart)["spec"]["template"]["spec"]["volumes"]}
        assert "emptyDir" in volumes[volume]


@pytest.mark.parametrize("name", ["kubernetes-slices.yaml", "kubernetes-store.yaml"])
def test_the_indexed_job_has_a_pod_for_each_slice_and_knows_the_exit_statuses(name: str) -> None:
    spec = manifest(name)["spec"]
    assert (spec["completionMode"], spec["completions"]) == ("Indexed", COUNT)
    assert f"/{COUNT}" in container(name)["command"][-1]
    rules = {
        rule["action"]: rule["onExitCodes"]
        for rule in spec["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    assert rules["Ignore"]["values"] == [75]
    assert set(rules["FailIndex"]["values"]) == {2, 65, 66, 73, 76, 77, 78}
    assert {rule["containerName"] for rule in rules.values()} == {container(name)["name"]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # which a podFailurePolicy needs
