"""Whatever stands behind the URL, the sample's 240 rows come out labelled at the first try, and are paid for once.

Each endpoint refuses, hides and breaks what the real one does, in its words. None is told to the config but by what
its users would write: the URL, the key, the model's name.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.jobs import last_line
from tests.world.clouds import CLOUDS
from tests.world.endpoint import Endpoint
from tests.world.gateways import GATEWAYS
from tests.world.openai_models import OPENAI
from tests.world.own_servers import OWN_SERVERS
from tests.world.sample import ROWS, SAID, job_for, section_of
from tests.world.server import WorldServer


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", [*OPENAI, *CLOUDS, *GATEWAYS, *OWN_SERVERS], ids=str)
def test_every_row_is_labelled_at_the_first_try_and_paid_for_once(endpoint: Endpoint, tmp_path: Path) -> None:
    with WorldServer(endpoint, section_of) as server:
        job = job_for(server, tmp_path)
        first = job.started()
        assert first.returncode == 0, first.stderr
        labelled = job.labelled()
        statuses = Counter(labelled["label_status"].to_list())
        expected = {"ok": ROWS - sum(endpoint.statuses.values()), **endpoint.statuses}
        assert statuses == expected, (labelled["label_error"].drop_nulls().unique().to_list(), first.stderr)
        wrong = [
            (said, found)
            for said, found in zip(SAID, labelled["label"].to_list(), strict=True)
            if found not in {said, None}
        ]
        assert not wrong
        assert len(server.paid) <= expected["ok"] + endpoint.wasted, first.stderr
        assert len(server.refused) <= endpoint.refusals, first.stderr

        asked = len(server.asks)
        job.output.unlink()
        second = job.started()
        assert second.returncode == 0, second.stderr
        assert (len(server.asks), last_line(second)["requests"]) == (asked, 0)
        assert job.labelled()["label"].to_list() == labelled["label"].to_list()
