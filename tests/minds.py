"""A model that may change its mind, for a server in the test's own process."""

from collections.abc import Callable

Label = Callable[[str], str | list[str]]


class Model:
    """A model that labels by `label`, which a test may replace between two runs."""

    def __init__(self, label: Label) -> None:
        self.label = label

    def __call__(self, text: str) -> str | list[str]:
        return self.label(text)
