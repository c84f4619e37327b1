"""litlm's `complete`."""

from work import given, label, tell

work = given()

from litlm import complete  # noqa: E402 - the guard stands before anything else is imported

replies = complete(
    work.texts,
    model=f"direct/openai/{work.model}",  # this very route, no search for another
    system=work.system,
    max_concurrency=work.in_flight,
    show_progress=False,
    api_base=work.base_url,
    api_key="none",
    **work.settings,
)
tell(work, map(label, replies))
