"""How a bad config, input or output ends a command: its exit status, one line that helps, and no request.

Each stage that refuses something is here; all that it refuses is in tests/config, tests/inputs and tests/outputs.
"""

import os
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import app
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, texts

Change = Callable[[JobFiles], Any]


def config_text(text: str) -> Change:
    """The config file holds *text*, whatever the job says."""
    return lambda job: setattr(job, "config_file", lambda: _written(job.folder / "job.yaml", text.encode()))


def settings(**sections: dict[str, Any]) -> Change:
    return lambda job: job.set(**sections)


def labels(yaml: str) -> Change:
    return config_text(
        "input: {path: in.parquet}\noutput: {path: out.parquet}\n"
        f'task: {{instructions: x, text: "{{text}}", labels: {yaml}}}\n'
    )


def input_bytes(name: str, content: bytes) -> Change:
    def change(job: JobFiles) -> None:
        _written(job.folder / name, content)
        job.set(input={"path": name})

    return change


def column(values: pa.Array, name: str = "text") -> Change:
    return lambda job: pq.write_table(pa.table({name: values}), job.folder / "in.parquet")


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut_parquet(job: JobFiles) -> None:
    path = job.folder / "in.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def foreign_output(job: JobFiles) -> None:
    job.output.parent.mkdir()
    pl.DataFrame({"precious": [1]}).write_parquet(job.output)


def link_to_input(job: JobFiles) -> None:
    (job.folder / "link.parquet").symlink_to(job.folder / "in.parquet")
    job.set(output={"path": "link.parquet"})


def no_rows(job: JobFiles) -> None:
    job.table(pl.DataFrame(schema={"id": pl.Int64, "text": pl.String}))


def key_of(value: str) -> Change:
    def change(job: JobFiles) -> None:
        os.environ["CANARY_KEY"] = value
        job.set(model=KEY)

    return change


def not_unicode(job: JobFiles) -> None:
    """Half a character in a column that says that it is text."""
    buffers = [None, pa.py_buffer(b"\0\0\0\0\5\0\0\0"), pa.py_buffer(b"a\xed\xa0\x80b")]
    column(pa.Array.from_buffers(pa.string(), 1, buffers))(job)


KEY = {"provider": "openai-compatible", "api_key_env": "CANARY_KEY"}

TABLE: dict[str, tuple[Change, int, str]] = {
    "config missing": (lambda job: setattr(job, "config_file", lambda: job.folder / "no.yaml"), 66, "no.yaml"),
    "empty YAML": (config_text(""), 78, "job.yaml:1"),
    "unknown key": (settings(limits={"concurency": 8}), 78, "did you mean max_concurrency"),
    "labels that YAML changes": (labels("[yes, 1.10, 012, 2026-01-01, ~]"), 78, "quote"),
    "template with an unknown column": (settings(task={"text": "{nope}"}), 78, "text"),
    "API key in the YAML": (settings(model={"api_key": "sk-canary"}), 78, "api_key_env"),
    "key variable unset": (settings(model=KEY), 78, "CANARY_KEY"),
    "key variable empty": (key_of(""), 78, "--provider local"),
    "key variable with a newline": (key_of("sk-canary\nx"), 78, "line break"),
    'rpm "10 000"': (settings(limits={"requests_per_minute": "10 000"}), 78, "requests_per_minute"),
    "output is a link to the input": (link_to_input, 78, "output.path"),
    "output is not ours": (foreign_output, 73, "--overwrite"),
    "output is a directory": (lambda job: job.output.mkdir(parents=True), 73, "folder"),
    "input missing": (settings(input={"path": "no.parquet"}), 66, "no.parquet"),
    "0-byte file": (input_bytes("a.parquet", b""), 65, "empty"),
    "cut Parquet": (cut_parquet, 65, "in.parquet"),
    "header only": (input_bytes("a.csv", b"id,text\n"), 0, ""),
    "no rows": (no_rows, 0, ""),
    "ragged row": (input_bytes("a.csv", b"id,text\n1,a\n2,b,c\n"), 65, "a.csv:3"),
    "embedded NUL": (column(pa.array(["a\0b\x01"])), 0, ""),
    "embedded NUL in a CSV": (input_bytes("a.csv", b"text\na\0b\n"), 0, ""),
    "half a character": (not_unicode, 0, ""),
    "huge cell": (column(pa.array(["x" * 5_000_000])), 0, ""),
    "duplicate column, not used": (input_bytes("a.csv", b"x,x,text\n1,2,3\n"), 78, "output.columns.only"),
    "a column without a name": (input_bytes("a.csv", b"id,,text\n1,2,3\n"), 0, ""),
    "a late flip of the type": (input_bytes("a.csv", b"id,text\n007,a\n" + b"1,b\n" * 3000 + b"x,c\n"), 0, ""),
    "text null, empty, blank": (column(pa.array([None, "", "  "], pa.string())), 0, ""),
    "numbers as text": (column(pa.array([1, 2])), 0, ""),
    "dates as text": (column(pa.array([date(2026, 1, 2)])), 0, ""),
    "decimals as text": (column(pa.array([Decimal("1.10")])), 0, ""),
    "large_string": (column(pa.array(["a"], pa.large_string())), 0, ""),
    "dictionary": (column(pa.array(["a", "b"]).dictionary_encode()), 0, ""),
    "string_view": (column(pa.array(["a", "b"], pa.string_view())), 0, ""),
    "output column in the input": (
        lambda job: job.table(pl.DataFrame({"text": ["a"], "label": ["b"]})), 78, "output.columns.prefix",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_a_bad_input_ends_with_its_status_and_a_line_that_helps(
    name: str,
    job: JobFiles,
    server: FaultServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change, status, words = TABLE[name]
    monkeypatch.setenv("CANARY_KEY", "")  # so that it is put back afterwards
    monkeypatch.delenv("CANARY_KEY")
    job.table(texts(3))
    change(job)
    path = str(job.config_file())

    checked = app.main(["check", path])
    said = capsys.readouterr().err
    assert server.requests == 0
    found = app.main(["run", path, "--quiet"])
    ran = capsys.readouterr().err

    assert (checked, found) == (status, status), said + ran
    assert words in said
    assert "Traceback" not in said + ran
    assert "sk-canary" not in said + ran
    if status:
        assert server.requests == 0
        assert words in ran
        assert all(line.startswith("error: ") for line in (said + ran).splitlines())


FINE: dict[str, tuple[list[str], list[str]]] = {
    "header only": ([], []),
    "no rows": ([], []),
    "text null, empty, blank": ([], ["empty"] * 3),
    "numbers as text": (["1", "2"], ["ok", "ok"]),
    "dates as text": (["2026-01-02"], ["ok"]),
    "decimals as text": (["1.10"], ["ok"]),
    "embedded NUL": (["a\0b\x01"], ["ok"]),
    "a column without a name": (["3"], ["ok"]),
    "half a character": (["a\ufffd\ufffd\ufffdb"], ["ok"]),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_odd_and_fine_is_asked_about_as_it_stands(
    name: str, job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(3))
    TABLE[name][0](job)
    assert app.main(["run", str(job.config_file()), "--quiet"]) == 0
    questions, statuses = FINE[name]
    assert asked(server) == questions
    output = pq.read_table(job.output)
    assert output.column("label_status").to_pylist() == statuses
    assert output.schema.field("label").type == pa.string()
    assert output.schema.field("prompt_tokens").type == pa.int64()


def test_an_id_with_leading_zeros_is_kept_as_text(job: JobFiles) -> None:
    TABLE["a late flip of the type"][0](job)
    assert app.main(["run", str(job.config_file()), "--quiet"]) == 0
    ids = job.labelled()["id"]
    assert (ids[0], ids[1], ids[-1]) == ("007", "1", "x")
