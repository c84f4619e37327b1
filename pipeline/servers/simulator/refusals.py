"""What the simulator refuses before it looks for an answer, and its model objects."""

import orjson

from pipeline.servers.simulator.chat import CREATED
from pipeline.servers.simulator.response import NoReply, Response, refuse
from pipeline.servers.simulator.settings import OutageKind, RefusedWith, SimulatorSettings


def turned_away(status: RefusedWith, retry_after: float | None = None) -> Response:
    """Return a refusal that tells no more than *retry_after*."""
    headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
    if status == 429:  # noqa: PLR2004
        return refuse(429, "Rate limit reached", kind="requests", code="rate_limit_exceeded", headers=headers)
    return refuse(503, "Service unavailable", kind="server_error", headers=headers)


OUTAGES: dict[OutageKind, Response | NoReply] = {
    # Open connections are closed, too; this answers a request that arrives in between.
    "refuse": NoReply(hangs=False, delay=0),
    "429": turned_away(429),
    "503": turned_away(503),
    "hang": NoReply(hangs=True, delay=0),
}
"""What a request in an outage gets."""


ANY_MODEL = "simulated"
"""The model that is listed where every name is known: clients choose from the list."""


def no_model(name: str, settings: SimulatorSettings) -> Response | None:
    """Return the 404 for a model that does not exist."""
    if settings.models is None or name in settings.models:
        return None
    return refuse(404, f"The model '{name}' does not exist", code="model_not_found")


def models(name: str, settings: SimulatorSettings) -> Response:
    """Return the model object of *name*, or the list of all where *name* is empty."""
    if name:
        return no_model(name, settings) or Response(200, orjson.dumps(_model(name, settings)))
    listed = [_model(each, settings) for each in settings.models or (ANY_MODEL,)]
    return Response(200, orjson.dumps({"object": "list", "data": listed}))


def _model(name: str, settings: SimulatorSettings) -> dict[str, object]:
    found: dict[str, object] = {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}
    if settings.prices is not None:
        price_in, price_out = settings.prices
        # The names are Oxen's.
        found["pricing"] = {
            "method": "token",
            "input_cost_per_token": price_in,
            "output_cost_per_token": price_out,
        }
    return found
