"""Imports go down the floors, and what a command does not need it does not load."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from jobs import JobFiles, environment

ROOT = Path(__file__).parent.parent / "pipeline"

FLOORS = {
    0: {
        "ahead", "clock", "durable", "errors", "garbage", "latency", "lock", "logfile", "logs", "records", "redaction", "slim",
    },
    1: {"config", "tasks"},
    2: {"endpoints", "inputs", "ledger", "llm", "outputs", "state"},
    3: {
        "check", "desk", "explain", "fence", "healthcheck", "job", "plan", "probe", "publication", "result", "run", "serving", "stop",
        "start", "threads", "watch",
    },
    4: {"airflow", "api", "arguments", "blocking", "cli", "ending", "ray", "rehearse", "show", "simulate"},
    5: {"__main__"},
}  # fmt: skip
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
FREE = {"__init__": "it offers the interface lazily"}


def modules() -> dict[str, Path]:
    """Every module by its name below `pipeline`, such as `llm.client`."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


MODULES = modules()


def imports(path: Path, package: str = "pipeline") -> Iterator[tuple[str, bool]]:
    """Yield what a module imports from *package*, and whether at its top; imports for type checkers are left out."""
    tree = ast.parse(path.read_text())
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        at_top = id(node) not in lazy
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == package:
                yield from ((f"{package}.{alias.name}", at_top) for alias in node.names)
            elif node.module.startswith(f"{package}."):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (
                    (name if name.removeprefix("pipeline.") in MODULES else node.module, at_top)
                    for name in names
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    yield alias.name, at_top


def ours(path: Path) -> Iterator[tuple[str, bool]]:
    for name, at_top in imports(path):
        short = name.removeprefix("pipeline.").removeprefix("pipeline")
        if short in MODULES:
            yield short, at_top


def test_every_module_has_its_floor() -> None:
    homes = {name.split(".")[0] for name in MODULES} - set(FREE)
    assert homes - set(FLOOR) == set(), "put new modules on a floor"


@pytest.mark.parametrize("name", sorted(set(MODULES) - set(FREE)))
def test_imports_go_down(name: str) -> None:
    home = name.split(".", maxsplit=1)[0]
    for imported, _ in ours(MODULES[name]):
        other = imported.split(".")[0]
        assert FLOOR[other] <= FLOOR[home], f"{name} imports {imported} from a floor above"
        if FLOOR[home] == FLOOR[other] == 2:
            assert home == other, f"{name} imports {imported}: folders on floor 2 know nothing of each other"


def test_there_are_no_circles() -> None:
    graph = {
        name: {imported for imported, _ in ours(path) if imported != name} for name, path in MODULES.items()
    }
    del graph["__init__"]
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_what_talks_to_the_endpoint_imports_aiohttps_client() -> None:
    users = {name for name, path in MODULES.items() if any(_aiohttp(path))}
    clients = {name for name, path in MODULES.items() if any(each != "web" for each in _aiohttp(path))}
    assert clients == {"llm.client", "llm.wire"}
    assert all(name.split(".")[0] in {"llm", "endpoints"} for name in users)


def _aiohttp(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aiohttp":
            part = (node.module or "").removeprefix("aiohttp").removeprefix(".")
            yield from [part] if part else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "aiohttp")


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("llm.providers")))
def test_providers_do_no_input_or_output(name: str) -> None:
    path = MODULES[name]
    loaded = {
        each for package in ("aiohttp", "asyncio", "socket", "requests") for each, _ in imports(path, package)
    }
    assert loaded == set()


def test_what_is_pure_knows_no_loop_and_no_disk() -> None:
    for name in (name for name in MODULES if name.split(".")[0] == "tasks"):
        for package in ("asyncio", "aiohttp", "sqlite3", "os", "pathlib", "pyarrow", "polars"):
            assert not list(imports(MODULES[name], package)), f"{name} imports {package}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_says_what_it_is_for_and_is_short(name: str) -> None:
    text = MODULES[name].read_text()
    assert ast.get_docstring(ast.parse(text)), "a module without a docstring"
    assert len(text.splitlines()) <= 250


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}.{node.name}", node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - (body[0].lineno if body else node.end_lineno or 0) + 1


def test_no_function_is_longer_than_forty_lines() -> None:
    assert [name for name, node in functions() if code_lines(node) > 40] == []


HEAVY = ("aiohttp", "asyncio", "numpy", "polars", "pyarrow", "pyarrow.compute", "pyarrow.csv", "ruamel", "sqlite3", "tqdm", "uvloop")  # fmt: skip

COMMAND = "import sys; from pipeline.cli import main; status = main(sys.argv[1:]); assert status == 0, status"


def modules_after(*arguments: str, code: str = COMMAND) -> set[str]:
    """The modules that are loaded once *code* has run in a process of its own."""
    script = f"{code}\nimport json, sys\nsys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment(), check=True
    )  # fmt: skip
    return set(json.loads(ran.stderr.splitlines()[-1]))


def heavy(loaded: set[str]) -> set[str]:
    return loaded & set(HEAVY)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy(modules_after(code="import pipeline")) == set()


@pytest.mark.parametrize(
    ("arguments", "most"), [("--help", 200), ("run --help", 330), ("ledger --help", 330)]
)
def test_help_loads_nothing_heavy_and_few_modules(arguments: str, most: int) -> None:
    loaded = modules_after(*arguments.split())
    assert heavy(loaded) == set()
    assert len(loaded) < most  # measured: 164, and 275 where typer looks at options with pydantic


def test_check_loads_what_looks_at_the_input_and_no_more(job: JobFiles) -> None:
    job.table(["text"])
    loaded = modules_after("check", str(job.config_file()))
    assert heavy(loaded) == {"pyarrow", "ruamel"}
    assert len(loaded) < 450  # measured: 376; with all that a run loads 690


def test_a_finished_job_loads_nothing_that_asks_labels_or_publishes(job: JobFiles) -> None:
    job.table(["text"])
    assert job.run().returncode == 0
    loaded = modules_after("run", str(job.config_file()))
    assert heavy(loaded) == {"pyarrow", "ruamel"}
    assert not loaded & {"pipeline.desk", "pipeline.ledger", "pipeline.llm.client", "pipeline.run"}
    assert len(loaded) < 450  # measured: 380


def test_a_command_keeps_numpy_out_of_pyarrow_and_no_further(job: JobFiles) -> None:
    pytest.importorskip("numpy", reason="needs the extra `local`")
    job.table(["text"])
    code = f"{COMMAND}; import numpy, pyarrow; assert numpy.arange(3).sum() == 3"
    assert "numpy" in modules_after("check", str(job.config_file()), code=code)


def test_a_run_needs_no_numpy(job: JobFiles) -> None:
    job.table(["text"])
    loaded = modules_after("run", str(job.config_file()))
    assert {"pipeline.run", "pyarrow.compute", "polars"} <= loaded
    assert "numpy" not in loaded


def test_in_somebody_elses_process_pyarrow_knows_numpy() -> None:
    pytest.importorskip("numpy", reason="needs the extra `local`")
    code = "import pipeline.api, numpy, pyarrow; assert pyarrow.array(numpy.arange(3)).to_numpy().sum() == 3"
    assert "numpy" in modules_after(code=code)
