"""Make the config's paths absolute, and keep input, output and state from overwriting each other.

A path that holds no `*`, `?` or `[`, or that exists as it is written, is a file or a folder; any other is a
pattern as in `glob`, with `**` for any number of folders. Input and output may be URLs of an object store, too; there nothing is looked at.
"""

import glob
import os
import re
from hashlib import blake2b
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, GetPydanticSchema, WithJsonSchema, WrapValidator
from pydantic_core.core_schema import ValidationInfo, ValidatorFunctionWrapHandler

from pipeline.config.values import CONTROL, wrong
from pipeline.system.places import SCHEMES, ObjectPath, Place, is_object, matches, place_of

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A suffix begins with a letter, since a folder may be called 2026.11.23.
_SUFFIX = re.compile(r"\.[A-Za-z]\w*$")

OutputFormat = Literal["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz", "delta"]
OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)[:-1]
"""The formats of files of the output: their suffixes, without the first dot."""

_SUFFIXES = f"let it end in {', '.join(f'.{each}' for each in OUTPUT_FORMATS[:-1])} or .{OUTPUT_FORMATS[-1]}"


def is_url(path: str) -> bool:
    """Return whether a path is a URL with a scheme."""
    return _URL.match(path) is not None


def default_state_folder(config: Path) -> Path:
    """Return the default state folder of a config file: beside it, or beside its folder `configs`."""
    folder = config.parent.parent if config.parent.name == "configs" else config.parent
    return folder / ".pipeline" / config.stem


def output_clash(source: str, output: Place, *, is_table: bool = False) -> str | None:
    """Return what is wrong with an output path, given its input, as a sentence; None if nothing is."""
    many = _is_many(source)
    if is_table and (sentence := suffix_clash(output, many=True)):
        return sentence
    named = None if is_table else many
    if is_object(source) != isinstance(output, ObjectPath):
        return suffix_clash(output, many=named)
    if _is_same(source, output):
        return "is the input itself; write the output to another path"
    if _is_within(source, output) if many or glob.has_magic(source) else _is_inside(place_of(source), output):
        return "lies within the input, and the next run would read it; write the output to another folder"
    return suffix_clash(output, many=named)


def state_clash(source: str, output: Place, state: Place) -> str | None:
    """Return what is wrong with the state folder, given input and output, as a sentence; None if nothing is."""
    if _is_inside(output, state):
        return "lies within the output, which is replaced as a whole; keep the state in another folder"
    if _is_inside(place_of(source), state):
        return "lies within the input; keep the state in another folder"
    return None


def working_copy(store: ObjectPath) -> Path:
    """Return where on this machine the copy of a state folder in an object store lies: among temporary files."""
    where = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    name = blake2b(f"{where} {store}".encode(), digest_size=8).hexdigest()
    return Path(gettempdir(), f"pipeline-{os.getuid()}", f"state-{name}")


def suffix_clash(output: Place, *, many: bool | None) -> str | None:
    """Return what is wrong with an output's suffix, given one input file or *many* (None: unknown), as a sentence."""
    suffix = _SUFFIX.search(output.name)
    if many and suffix:
        return "looks like a file, but many input files give a folder of files; leave the suffix out"
    if suffix and format_of(output) is None:
        return f"has no format that is known; {_SUFFIXES}"
    if many is False and not suffix:
        return f"is not the name of a file; {_SUFFIXES}"
    return None


def format_of(output: Place) -> str | None:
    """Return the format of an output file, by its name; None for the name of a folder."""
    return next((each for each in OUTPUT_FORMATS if output.name.endswith(f".{each}")), None)


def marked(output: Place, mark: str, default: str = "") -> Place:
    """Return the path of another output, with *mark* before the suffix; a folder's name has the suffix *default*."""
    suffix = f".{form}" if (form := format_of(output)) else default
    return output.with_name(f"{output.name.removesuffix(suffix)}.{mark}{suffix}")


def _is_many(source: str) -> bool | None:
    """Return whether the input is a folder or a pattern; None if that is unknown because it does not exist."""
    if not is_object(source) and os.path.lexists(source):
        return Path(source).is_dir()
    if glob.has_magic(source):
        return True
    return False if _SUFFIX.search(source) else None


def _is_same(source: str, output: Place) -> bool:
    if isinstance(output, ObjectPath):
        return ObjectPath(source) == output
    try:
        return output.samefile(source)
    except OSError:
        return os.path.realpath(source) == os.path.realpath(output)


def _real(place: Place) -> Place:
    return place if isinstance(place, ObjectPath) else Path(os.path.realpath(place))


def _is_inside(folder: Place, path: Place) -> bool:
    if isinstance(folder, ObjectPath) != isinstance(path, ObjectPath):
        return False
    return _real(path).is_relative_to(_real(folder))


def _is_within(source: str, output: Place) -> bool:
    """Return whether the output, or a file written into it, would be found as input."""
    if not is_object(source) and os.path.lexists(source):
        return _is_inside(Path(source), output)
    pattern = _real_pattern(source)
    found = _real(output).parts
    return matches(found, pattern) or matches(found, pattern[:-1])


def _real_pattern(source: str) -> tuple[str, ...]:
    parts = place_of(source).parts
    if is_object(source):
        return parts
    plain = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return (*Path(os.path.realpath(Path(*parts[:plain]))).parts, *parts[plain:])


def _checked(value: str) -> str:
    if not value.strip():
        raise wrong("is empty; write a path")
    if CONTROL.search(value):
        raise wrong("has a line break or a control character; write another path")
    if value.startswith("~"):
        raise wrong("begins with ~, which only a shell knows; write ${HOME} instead")
    return value


def _folder(info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder if isinstance(folder, Path) else Path.cwd()


def _absolute(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if is_url(_checked(value)):
        raise wrong("is a URL; write a path on this machine")
    return os.path.normpath(_folder(info) / value)


def in_store(text: str) -> ObjectPath:
    """Return the place that a URL names, which is that of an object or of a folder of them."""
    if not is_object(text):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise wrong(f"is a URL that is not known; write a path on this machine, or one of {known}")
    found = ObjectPath(text)
    if not found.bucket or "@" in found.bucket or ":" in found.bucket:
        raise wrong("names no bucket; write s3://bucket/folder/name, and keep keys in the environment")
    if ".." in found.parts:
        raise wrong("has a part `..`, which an object's name cannot have; write it out")
    return found


def _place(value: object, inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Place:
    if isinstance(value, ObjectPath):
        return value
    if isinstance(value, str) and is_url(_checked(value)):
        return in_store(value)
    local: Path = inner(_absolute(value, info))
    return local


def _absolute_source(value: str, info: ValidationInfo) -> str:
    if is_url(_checked(value)):
        return str(in_store(value))
    folder = str(_folder(info))
    # A * in the name of the config's own folder is not a pattern.
    if glob.has_magic(value) and not os.path.lexists(Path(folder, value)):
        folder = glob.escape(folder)
    return os.path.normpath(Path(folder, value))


def _absolute_state(value: object, info: ValidationInfo) -> object:
    if value is None and "state" in (info.context or {}):
        return (info.context or {})["state"]
    return _absolute(value, info)


OutputPath: TypeAlias = Annotated[
    Place,
    GetPydanticSchema(lambda _, handler: handler(Path)),
    WrapValidator(_place),
    WithJsonSchema({"type": "string"}),
]
LocalPath: TypeAlias = Annotated[Path, BeforeValidator(_absolute), WithJsonSchema({"type": "string"})]
StatePath: TypeAlias = Annotated[
    Path, BeforeValidator(_absolute_state), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
]
SourcePath: TypeAlias = Annotated[str, AfterValidator(_absolute_source)]
