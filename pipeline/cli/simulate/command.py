"""The command `simulate`: from its options to a simulator's settings."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.servers.simulator.settings import RateSettings

MAX_PORT = 65_535
MOST_PER_MINUTE = 1e9
MOST_WINDOW_SECONDS = 86_400.0


class RetryAfterForm(StrEnum):
    """The form of a 429's waiting time."""

    SECONDS = "seconds"
    MS = "ms"
    BOTH = "both"
    NONE = "none"


Port = Annotated[
    int, typer.Option(metavar="PORT", min=0, max=MAX_PORT, help="Port on 127.0.0.1; 0 takes a free one.")
]
LatencyText = Annotated[
    str,
    typer.Option(
        "--latency",
        metavar="SECONDS",
        help="How long a reply takes, in seconds: 0.2, uniform:0.2,0.8, or lognormal:0.5,0.4 (median, sigma of the logarithm); 0 answers at once.",
    ),
]
PerMinute = Annotated[
    float | None,
    typer.Option(
        "--requests-per-minute",
        metavar="N",
        min=0.001,
        max=MOST_PER_MINUTE,
        help="Answer 429 to more requests a minute than this. By default any number passes.",
    ),
]
TokensPerMinute = Annotated[
    float | None,
    typer.Option(
        "--tokens-per-minute",
        metavar="N",
        min=0.001,
        max=MOST_PER_MINUTE,
        help="Answer 429 to more tokens a minute than this; a request counts the larger of max_tokens and its prompt's bytes / 4. By default any number passes.",
    ),
]
WindowSeconds = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0.001,
        max=MOST_WINDOW_SECONDS,
        help="How many seconds' worth of those rates may be used up at once: 1 as strict providers do, 60 allows a whole minute's burst.",
    ),
]
RetryAfterOption = Annotated[
    RetryAfterForm,
    typer.Option(
        "--retry-after",
        help="How a 429 says when to come back: in seconds, in ms, in both headers, or in none.",
    ),
]
FaultShares = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="NAME=SHARE",
        help="Let that share of the requests (0 to 1) go wrong in this way, such as http_500=0.3. May be given several times.",
    ),
]
ListFaults = Annotated[bool, typer.Option("--list-faults", help="List the faults that there are, and end.")]
FaultSeed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Choose which requests go wrong and how long each takes: the same seed, texts and asks give the same again.",
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Append a line of JSON for each request: time, key, text, status, fault, what was billed. By default nothing is kept.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Know this model and answer 404 to others. May be given several times. By default every name is known.",
    ),
]
Capacity = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Slow down in proportion when more than N requests are in flight. By default never.",
    ),
]
Outages = Annotated[
    list[str] | None,
    typer.Option(
        "--outage",
        metavar="START:SECONDS[:KIND]",
        help="Be away from START seconds after the start, for so many SECONDS: refuse (connections, the default), 429 or 503 to every request, or hang. May be given several times.",
    ),
]
Refusals = Annotated[
    list[str] | None,
    typer.Option(
        "--refuse",
        metavar="STATUS:SHARE[:SECONDS]",
        help="Refuse that share of the requests (0 to 1) at once, whatever the load, with 429 or 503 and Retry-After if SECONDS are given, such as 429:0.05:2. May be given several times.",
    ),
]
MaxInFlight = Annotated[
    str | None,
    typer.Option(
        "--max-in-flight",
        metavar="N[:STATUS]",
        help="Refuse what comes while N requests are in flight, with 429 (the default) or 503, and tell this limit nowhere. By default any number passes.",
    ),
]
HideLimits = Annotated[
    bool,
    typer.Option(
        "--hide-limits",
        help="Tell the rates neither in headers nor in messages; with --retry-after none no time to wait, either.",
    ),
]
Prices = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="Tell these prices in the model object: US dollars per million tokens in and out, such as 0.10,0.40. By default none are told.",
    ),
]
BatchSeconds = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0, max=MOST_WINDOW_SECONDS, help="How long a batch takes, in seconds."
    ),
]
BatchFaults = Annotated[
    list[str] | None,
    typer.Option(
        "--batch-fault",
        metavar="NAME=SHARE",
        help="Let that share of the batches (0 to 1) go wrong in this way, such as expired=0.3. May be given several times.",
    ),
]


def simulate(  # noqa: PLR0913, PLR0917 - as many as the command has options
    port: Port = 8000,
    latency: LatencyText = "lognormal:0.5,0.4",
    requests_per_minute: PerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    window_seconds: WindowSeconds = 1.0,
    retry_after: RetryAfterOption = RetryAfterForm.BOTH,
    hide_limits: HideLimits = False,  # noqa: FBT002 - a command's options are its arguments
    refuse: Refusals = None,
    max_in_flight: MaxInFlight = None,
    fault: FaultShares = None,
    list_faults: ListFaults = False,  # noqa: FBT002 - a command's options are its arguments
    seed: FaultSeed = 0,
    log: LogFile = None,
    model: Models = None,
    capacity: Capacity = None,
    outage: Outages = None,
    price: Prices = None,
    batch_seconds: BatchSeconds = 5.0,
    batch_fault: BatchFaults = None,
) -> int:
    """Serve an endpoint that only pretends, to rehearse for free.

    It listens on 127.0.0.1 and speaks as OpenAI does, with the latency, limits and faults that are chosen, until Ctrl-C or SIGTERM.
    """
    from pipeline.cli.simulate import output, words  # noqa: PLC0415 - --help must not wait for what only the command needs
    from pipeline.config.simulate.latency import parse_latency  # noqa: PLC0415
    from pipeline.servers.simulator import settings as chosen  # noqa: PLC0415

    if list_faults:
        return output.list_faults()
    settings = chosen.SimulatorSettings(
        seed=seed, port=port, latency=parse_latency(latency), capacity=capacity, log_path=log,
        rates=_rates(requests_per_minute, tokens_per_minute, window_seconds, retry_after, hidden=hide_limits),
        faults=words.parse_faults(fault or ()),
        refusals=tuple(map(words.parse_refusal, refuse or ())),
        in_flight=None if max_in_flight is None else words.parse_in_flight(max_in_flight),
        outages=tuple(map(words.parse_outage, outage or ())),
        models=tuple(model) if model else None,
        prices=None if price is None else words.parse_prices(price),
        batch_seconds=batch_seconds, batch_faults=words.parse_faults(batch_fault or ()),
    )  # fmt: skip
    return output.serve_until_stopped(settings)


def _rates(
    requests: float | None, tokens: float | None, window: float, told: RetryAfterForm, *, hidden: bool
) -> "RateSettings":
    from pipeline.servers.simulator.settings import RateSettings  # noqa: PLC0415 - as above

    return RateSettings(
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        window_seconds=window,
        retry_after=told.value,
        hidden=hidden,
    )
