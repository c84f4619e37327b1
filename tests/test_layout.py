"""Imports go down the floors, and what a command does not need it does not load."""

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path, PurePath

import pytest

from tests.jobs import JobFiles, environment

ROOT = Path(__file__).parent.parent / "pipeline"

FLOORS = {
    0: {"records", "errors", "figures", "_version"},
    1: {"system"},
    2: {"config", "telemetry", "storage"},
    3: {"tasks", "quality"},
    4: {"inputs", "ledger", "llm", "outputs", "servers", "reports"},
    5: {"job"},
    6: {"engine"},
    7: {"journey"},
    8: {"commands"},
    9: {"api"},
    10: {"cli", "airflow", "frames"},
    11: {"__main__"},
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
FREE = {"__init__": "it offers the interface lazily"}
PUBLIC = {"airflow": "it uses the public names, as its users do"}

LOOSE = 8
"""Most modules that lie in `pipeline/` itself."""

ROOM = 12
"""Most modules in a folder; more only where each is a verb of the command line or a section of the config."""

LARGER_ROOMS = {"cli": 20, "commands": 20, "config": 24}


def modules() -> dict[str, Path]:
    """Every module by its name below `pipeline`, such as `llm.transport.client`."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path
    return found


MODULES = modules()


def imports(path: Path, package: str = "pipeline") -> Iterator[str]:
    """Yield what a module imports from *package*: lazily and for type checkers, too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == package:
                yield from (f"{package}.{alias.name}" for alias in node.names)
            elif node.module.startswith(f"{package}."):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (
                    name if name.removeprefix("pipeline.") in MODULES else node.module for name in names
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    yield alias.name


def own_imports(path: Path) -> Iterator[str]:
    """Yield the modules that a module imports; `__init__` for the public names."""
    for name in imports(path):
        short = name.removeprefix("pipeline.")
        yield short if short in MODULES else "__init__"


def test_every_module_has_its_floor() -> None:
    homes = {name.split(".")[0] for name in MODULES} - set(FREE)
    assert homes - set(FLOOR) == set(), "put new modules on a floor"


@pytest.mark.parametrize("name", sorted(set(MODULES) - set(FREE)))
def test_imports_go_to_a_lower_floor(name: str) -> None:
    home = name.split(".", maxsplit=1)[0]
    for imported in own_imports(MODULES[name]):
        other = imported.split(".")[0]
        if other == home or (home in PUBLIC and imported == "__init__"):
            continue
        assert FLOOR[other] < FLOOR[home], f"{name} imports {imported}, which is on no lower floor"


def test_few_modules_lie_loose() -> None:
    assert len([name for name in MODULES if "." not in name and MODULES[name].name != "__init__.py"]) <= LOOSE


def test_no_room_is_crowded() -> None:
    rooms = Counter(
        str(path.parent.relative_to(ROOT)) for path in MODULES.values() if path.name != "__init__.py"
    )
    del rooms["."]
    assert {room: files for room, files in rooms.items() if files > LARGER_ROOMS.get(room, ROOM)} == {}


def test_there_are_no_circles() -> None:
    graph = {
        name: {imported for imported in own_imports(path) if imported not in {name, "__init__"}}
        for name, path in MODULES.items()
    }
    del graph["__init__"]
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_what_talks_to_the_endpoint_imports_aiohttps_client() -> None:
    users = {name for name, path in MODULES.items() if any(_aiohttp(path))}
    clients = {name for name, path in MODULES.items() if any(each != "web" for each in _aiohttp(path))}
    assert clients == {"llm.transport.broken", "llm.transport.wire"}
    assert all(name.split(".")[0] in {"llm", "servers"} for name in users)


def test_only_the_health_check_uses_the_standard_librarys_http_client() -> None:
    modules = {"urllib.request", "http.client"}
    users = {
        name
        for name, path in MODULES.items()
        if not modules.isdisjoint([*imports(path, "urllib"), *imports(path, "http")])
    }
    assert users == {"telemetry.healthcheck"}


def _aiohttp(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aiohttp":
            part = (node.module or "").removeprefix("aiohttp").removeprefix(".")
            yield from [part] if part else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "aiohttp")


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("llm.protocol")))
def test_the_protocol_does_no_input_or_output(name: str) -> None:
    path = MODULES[name]
    loaded = {
        each for package in ("aiohttp", "asyncio", "socket", "requests") for each in imports(path, package)
    }
    assert loaded == set()


def test_what_is_pure_knows_no_loop_and_no_disk() -> None:
    for name in (name for name in MODULES if name.split(".")[0] == "tasks"):
        for package in ("asyncio", "aiohttp", "sqlite3", "os", "pathlib", "pyarrow", "polars"):
            assert not list(imports(MODULES[name], package)), f"{name} imports {package}"


LOCAL = {
    "inputs.intake.copies": "copies of the input, in the state directory",
    "inputs.subset": "the rows of --sample and --limit, in the state directory",
    "inputs.where.matching": "how many rows match, in the state directory",
    "outputs.parts": "the parts, in the state directory",
    "outputs.duplicates": "the keys, in the state directory",
    "outputs.delta.changes": "hashes of rows, in the state directory",
    "outputs.writers.stream": "a temporary file, which the storage puts in place",
    "outputs.writers.formats": "a row to nowhere",
}
"""Stages' modules that touch files which are local by nature, and which."""

FILE_METHODS = {name for name in set(dir(Path)) - set(dir(PurePath)) if callable(getattr(Path, name))}
FILE_METHODS -= {"absolute", "group", "__enter__", "__exit__"}
"""What looks at the disk: the methods that a Path has and a path without a disk has not."""


def touched(path: Path) -> Iterator[str]:
    """Yield by what means a module touches files other than through the storage."""
    for package in ("os", "shutil", "ctypes", "glob"):
        yield from imports(path, package)
    yield from (name for name in own_imports(path) if name == "system.atomic")
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                yield "open"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="storage"))):
                pass
            case ast.Call(func=ast.Attribute(attr="replace"), args=[_, _, *_]):
                pass  # of a text
            case ast.Call(func=ast.Attribute(attr=name)) if name in FILE_METHODS:
                yield name


def test_the_stages_touch_the_users_tables_through_the_storage_only() -> None:
    stages = {name: path for name, path in MODULES.items() if name.split(".")[0] in {"inputs", "outputs"}}
    found = {name: means for name, path in stages.items() if (means := set(touched(path)))}
    assert {name: means for name, means in found.items() if name not in LOCAL} == {}
    assert set(LOCAL) <= set(found), "a module that touches nothing any more"


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
    """How long a function is, with its parameters, which may have a line each, and without its docstring."""
    told = node.body[0]
    docstring = (told.end_lineno or 0) - told.lineno + 1 if ast.get_docstring(node) else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_no_function_is_longer_than_forty_lines() -> None:
    assert [name for name, node in functions() if code_lines(node) > 40] == []


HEAVY = ("aiohttp", "asyncio", "polars", "pyarrow", "pyarrow.compute", "pyarrow.csv", "ruamel", "scipy", "sklearn", "sqlite3", "tqdm", "uvloop")  # fmt: skip

COMMAND = (
    "import sys; from pipeline.cli.app import main; status = main(sys.argv[1:]); assert status == 0, status"
)


def modules_after(*arguments: str, code: str = COMMAND) -> set[str]:
    """The modules that are loaded once *code* has run in a process of its own."""
    script = f"{code}\nimport json, sys\nsys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment(), check=True
    )  # fmt: skip
    loaded = set(json.loads(ran.stderr.splitlines()[-1]))
    # Where numpy is installed, it is pyarrow's choice to load it.
    return {name for name in loaded if name.split(".")[0] != "numpy"}


def heavy(loaded: set[str]) -> set[str]:
    return loaded & set(HEAVY)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy(modules_after(code="import pipeline")) == set()


@pytest.mark.parametrize(
    ("arguments", "most", "unwanted"),
    [
        ("--help", 200, {*HEAVY, "pydantic"}),  # typer looks at the options of a command with it
        ("run --help", 330, {*HEAVY}),
        ("ledger --help", 330, {*HEAVY}),
        ("simulate --help", 330, {*HEAVY}),
        ("evaluate --help", 330, {*HEAVY}),
        ("calibrate --help", 330, {*HEAVY}),
        ("review --help", 330, {*HEAVY}),
        ("compare --help", 330, {*HEAVY}),
    ],
)
def test_help_loads_nothing_heavy_and_few_modules(arguments: str, most: int, unwanted: set[str]) -> None:
    loaded = modules_after(*arguments.split())
    assert loaded & unwanted == set()
    assert len(loaded) < most  # measured: 199, and 275 where typer looks at options with pydantic


def test_check_loads_what_looks_at_the_input_and_no_more(job: JobFiles) -> None:
    job.table(["text"])
    loaded = modules_after("check", str(job.config_file()))
    assert heavy(loaded) == {"pyarrow", "ruamel"}
    assert len(loaded) < 475  # measured: 471; with all that a run loads 690


def test_a_finished_job_loads_nothing_that_asks_labels_or_publishes(job: JobFiles) -> None:
    job.table(["text"])
    assert job.run().returncode == 0
    loaded = modules_after("run", str(job.config_file()))
    assert heavy(loaded) == {"pyarrow", "ruamel"}
    assert not loaded & {"pipeline.engine", "pipeline.ledger", "pipeline.llm.transport", "pipeline.journey"}
    assert len(loaded) < 450  # measured: 448
