"""A request that is refused, and OpenAI's error object."""

import orjson

INVALID = "invalid_request_error"
"""OpenAI's type of an error that the request caused."""


class BadRequestError(ValueError):
    """A request that cannot be answered, with the fields of OpenAI's error object."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


def error_body(
    message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None
) -> bytes:
    """Return OpenAI's error object, which has these four fields always."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
