"""The formats that can be read: one line each."""

from typing import cast

from pipeline.inputs import delimited, parquet
from pipeline.inputs.source import Format

FORMATS: dict[str, Format] = {
    "parquet": cast("Format", parquet),
    "csv": cast("Format", delimited),
}
