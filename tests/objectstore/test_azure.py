"""Tables and state in Azure's store, as far as Azurite is like it."""

import io
from pathlib import Path

import polars as pl
import pytest

from pipeline import storage
from pipeline.system.places import ObjectPath
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, last_line, texts
from tests.objectstore.azure import AZURITE, azurite, environment_of, make_container
from tests.objectstore.jobs import all_right


@pytest.mark.slow
@pytest.mark.skipif(not AZURITE.exists(), reason="needs Azurite; run .ci/gateways")
def test_tables_and_state_may_be_in_azure(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with azurite() as url:
        make_container(url, "tables")
        env = environment_of(url)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        rows = io.BytesIO()
        pl.DataFrame({"id": range(100), "text": texts(100)}).write_parquet(rows)
        with storage.replacing(ObjectPath("az://tables/in/rows.parquet")) as file:
            file.write_bytes(rows.getvalue())
        job = JobFiles(tmp_path, server.base_url)
        job.set(input={"path": "az://tables/in"}, output={"path": "az://tables/out/days"})
        job.set(state={"dir": "az://tables/state"})
        for machine in "ab":
            (tmp_path / machine).mkdir()
            done = job.spawn(env={**env, "TMPDIR": str(tmp_path / machine)})
            assert done.returncode == 0, done.stderr
        assert last_line(done)["again"] is True
        assert len(asked(server)) == 100
        assert storage.is_file(ObjectPath("az://tables/out/days/_SUCCESS"))
        with storage.open_file(ObjectPath("az://tables/out/days/rows.parquet")) as content:
            assert all_right(pl.read_parquet(content.read()))
