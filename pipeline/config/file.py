"""Read the text of a config file."""

from pathlib import Path

from pipeline.config.problems import escaped
from pipeline.errors import ConfigError, NoInputError

# A config with 1000 long labels takes a few hundred kilobytes; a larger file is data given by mistake.
_LARGEST_BYTES = 4 << 20


def read_text(path: str | Path) -> str:
    """Return the text of the file at *path*.

    Raises:
        NoInputError: If it does not exist, is a directory or cannot be read.
        ConfigError: If it is no text, or too large.
    """
    name = escaped(str(path))
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - for a NUL in a str path, open raises ValueError
            content = file.read(_LARGEST_BYTES + 1)
    except IsADirectoryError:
        raise NoInputError(f"{name}: is a directory; name the YAML file in it") from None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise NoInputError(f"{name}: is not there; check the path of the config file") from None
    except OSError as error:
        raise NoInputError(f"{name}: cannot be read ({error.strerror}); check its permissions") from None
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"{name}:1: is larger than {_LARGEST_BYTES} bytes; name a config file, not data")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
