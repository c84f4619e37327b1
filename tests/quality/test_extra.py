"""Where scikit-learn and scipy are missing."""

import sys

import pytest

from pipeline.errors import ConfigError
from pipeline.quality.extra import library


@pytest.mark.parametrize("name", ["sklearn.metrics", "scipy.stats"])
def test_a_missing_library_names_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name.split(".", maxsplit=1)[0], None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'nano-pipeline\[judge\]'") as refused:
        library(name)
    assert refused.value.exit_status == 78
