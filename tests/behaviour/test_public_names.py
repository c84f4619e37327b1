"""What the package offers is what `dir` and `help` show."""

import pydoc
from typing import Any

import pytest

import pipeline
from pipeline.errors import UsageError
from tests.jobs import JobFiles, texts


def test_dir_shows_what_is_public_and_nothing_else() -> None:
    assert dir(pipeline) == sorted(pipeline.__all__)


def test_help_shows_what_is_public() -> None:
    shown = pydoc.plain(pydoc.render_doc(pipeline))
    for name in set(pipeline.__all__) - {"__version__"}:
        assert name in shown
    assert "classify(frame" in shown
    assert "async arun(config" in shown
    assert "Ask again for rows whose stored answer" in shown


@pytest.mark.parametrize("call", [pipeline.run, pipeline.plan])
def test_what_is_no_config_is_refused_with_what_to_write(call: Any, job: JobFiles) -> None:
    job.table(texts(1))
    with pytest.raises(UsageError, match=r"config: is of type str; write load_config\(...\) around it"):
        call("job.yaml")
    with pytest.raises(UsageError, match=r"options: is of type dict; write RunOptions\(...\)"):
        call(job.config(), {"limit": 3})


@pytest.mark.parametrize("shown", [True, False, None])
def test_a_run_shows_a_bar_if_asked_to(
    job: JobFiles, capsys: pytest.CaptureFixture[str], *, shown: bool | None
) -> None:
    job.table(texts(3))
    pipeline.run(job.config(), progress=shown)
    assert ("3/3" in capsys.readouterr().err) is bool(shown)
