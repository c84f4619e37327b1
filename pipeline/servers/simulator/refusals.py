"""What the simulator refuses before it looks for an answer, and its model objects."""

import orjson

from pipeline.servers.chat import CREATED, Ask, refuse
from pipeline.servers.simulator.http1 import End, Request, Response, Wire
from pipeline.servers.simulator.settings import OutageKind, SimulatorSettings, Support

INVALID = "invalid_request_error"

OUTAGES: dict[OutageKind, Response | Wire] = {
    # Connections that were open before the port closed are gone too; this answers who slips in between.
    "refuse": Wire(b"", end=End.RESET, delay=0),
    "503": refuse(503, "Service unavailable", kind="server_error"),
    "hang": Wire(b"", end=End.SILENCE, delay=0),
}
"""What a request gets that arrives in an outage."""


def key_refused(request: Request, settings: SimulatorSettings) -> Response | None:
    """Return the 401 for a request without the right key."""
    key = settings.api_key
    if key is None or request.headers.get("authorization") == f"Bearer {key}":
        return None
    return refuse(401, "Incorrect API key provided", kind=INVALID, code="invalid_api_key")


def no_model(name: str, settings: SimulatorSettings) -> Response | None:
    """Return the 404 for a model that does not exist."""
    if settings.models is None or name in settings.models:
        return None
    return refuse(404, f"The model '{name}' does not exist", kind=INVALID, code="model_not_found")


def unsupported(ask: Ask, settings: SimulatorSettings) -> Response | None:
    """Return the 400 for an optional part of the request that this server refuses."""
    formats: dict[str, Support] = {"json_schema": settings.json_schema, "json_object": settings.json_object}
    if formats.get(ask.format) == "refused":
        message = f"'response_format' of type '{ask.format}' is not supported with this model."
        return refuse(400, message, kind=INVALID, code="unsupported_value")
    if ask.logprobs and settings.logprobs == "refused":
        return refuse(
            400, "'logprobs' is not supported with this model.", kind=INVALID, code="unsupported_parameter"
        )
    return None


def models(name: str, settings: SimulatorSettings) -> Response:
    """Return the model object of *name*, or the list of all where *name* is empty."""
    if name:
        return no_model(name, settings) or Response(200, orjson.dumps(_model(name, settings)))
    listed = [_model(each, settings) for each in settings.models or ()]
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
