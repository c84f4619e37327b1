"""What the page about Python says can be copied and run; so can the notebook."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SNIPPETS = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
async def test_every_snippet_of_the_page_runs_after_those_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = SNIPPETS.findall((DOCS / "python.md").read_text())
    assert len(snippets) == 6
    code = compile("\n".join(snippets), "python.md", "exec")
    await asyncio.to_thread(exec, code, {"__name__": "docs"})
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "('text: titel: the frame has no such column; its columns are title, body',)"


@pytest.mark.slow
def test_the_notebook_runs_in_jupyter_and_shows_its_tables(tmp_path: Path) -> None:
    shutil.copy(DOCS / "examples" / "classify.ipynb", tmp_path)
    convert = ["-m", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb", "classify.ipynb"]
    subprocess.run([sys.executable, *convert], cwd=tmp_path, check=True, capture_output=True)
    cells = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    assert any("100 %" in "".join(output.get("text", "")) for output in shown), "a progress bar"
    tables = ["".join(output["data"].get("text/html", "")) for output in shown if "data" in output]
    assert any("<caption>Run " in table for table in tables)
    assert not [output for output in shown if output["output_type"] == "error"]
