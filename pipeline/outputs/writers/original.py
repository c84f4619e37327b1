"""The Parquet file that an output file is made from: what the output keeps of it beside the values."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.outputs.writers import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from pipeline.outputs.writers.leaves import Leaf, leaves_by_column
from pipeline.system.places import Place

ARROW_SCHEMA = b"ARROW:schema"
"""The footer's entry that holds the schema for Arrow; the writer makes its own."""

DICTIONARY_BYTES = 1 << 20
"""The size at which writers give a dictionary up, of a whole row group."""

_VARIANT = re.compile(r"group field_id=-?\d+ (.+) \(Variant\(")
_ZSTD_LEVEL = 3
"""That of most writers; no footer tells it. At pyarrow's 1, a file that polars wrote grows by a seventh."""

_CODECS = {codec: codec for codec in ("SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD")} | {"UNCOMPRESSED": "NONE"}


@dataclass(frozen=True, slots=True)
class Original:
    """What the footer of a file tells.

    Attributes:
        metadata: Its key-value metadata.
        fields: The metadata of each column, by name.
        leaves: The leaves of each column, by name.
        variants: The names of the groups that are a VARIANT.
        group_rows: Number of rows of its largest row group.
        group_bytes: Bytes of its largest row group, uncompressed.
        has_page_index: Whether readers can skip pages by an index.
    """

    metadata: Mapping[bytes, bytes]
    fields: Mapping[str, Mapping[bytes, bytes] | None]
    leaves: Mapping[str, list[Leaf]]
    variants: tuple[str, ...]
    group_rows: int
    group_bytes: int
    has_page_index: bool

    @classmethod
    def at(cls, path: Place) -> "Original":
        """Read the footer of the file at *path*; see `of`."""
        with storage.open_arrow(path) as opened:
            return cls.of(pq.ParquetFile(opened))

    @classmethod
    def of(cls, file: pq.ParquetFile) -> "Original":
        """Take what the footer of *file* tells, of which the survey has read a row."""
        arrow, footer = file.schema_arrow, file.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        entries = {key: value for key, value in (footer.metadata or {}).items() if key != ARROW_SCHEMA}
        return cls(
            {**entries, **(arrow.metadata or {})},
            {field.name: field.metadata for field in arrow},
            leaves_by_column(file),
            tuple(_VARIANT.findall(str(file.schema))),
            max((group.num_rows for group in groups), default=0),
            max((group.total_byte_size for group in groups), default=0),
            any(group.num_rows and group.column(0).has_offset_index for group in groups[:1]),
        )

    def described(self, schema: pa.Schema) -> pa.Schema:
        """Return *schema* with the metadata of this file and of its columns."""
        fields = [
            field.with_metadata(self.fields[field.name]) if field.name in self.fields else field
            for field in schema
        ]
        return pa.schema(fields, self.metadata)

    def types(self) -> dict[str, Any]:
        """Return the settings of a `pq.ParquetWriter` without which it writes other types than this file has."""
        times = [
            leaf.kind for leaves in self.leaves.values() for leaf in leaves if leaf.kind.startswith("Time(")
        ]
        return {"write_time_adjusted_to_utc": bool(times) and all("UTC=true" in time for time in times)}

    def storage(self, written: Mapping[str, list[Leaf]]) -> dict[str, Any]:
        """Return the settings of a `pq.ParquetWriter` that store the leaves *written* as this file does."""
        pairs = [
            (own, new)
            for name, leaves in written.items()
            if len(leaves) == len(self.leaves.get(name, ()))
            for own, new in zip(self.leaves[name], leaves, strict=True)
            if own.codec
        ]
        usual = Counter(own.codec for own, _ in pairs).most_common(1)
        codecs = {
            leaf.path: usual[0][0] if usual else "ZSTD" for leaves in written.values() for leaf in leaves
        }
        codecs |= {new.path: own.codec for own, new in pairs}
        plain = {new.path for own, new in pairs if not own.has_dictionary}
        share = min(1.0, ROW_GROUP_ROWS / max(1, self.group_rows), ROW_GROUP_BYTES / max(1, self.group_bytes))
        compression = {path: _CODECS.get(codec or "", "ZSTD") for path, codec in codecs.items()}
        return {
            "compression": compression,
            "compression_level": {path: _ZSTD_LEVEL for path, name in compression.items() if name == "ZSTD"},
            "use_dictionary": [path for path in codecs if path not in plain],
            "column_encoding": {
                new.path: own.encoding
                for own, new in pairs
                if own.encoding and new.path in plain and own.physical == new.physical
            },
            "dictionary_pagesize_limit": int(DICTIONARY_BYTES * share),
            "write_page_index": self.has_page_index,
            **self.types(),
        }

    def losses(self, written: Mapping[str, list[Leaf]]) -> Iterator[str]:
        """Yield a sentence for each column whose type Arrow does not have, so that it is *written* as another one."""
        for name, leaves in written.items():
            for own, new in zip(self.leaves.get(name, ()), leaves, strict=False):
                if own.kind != new.kind:
                    yield f"column {own.path!r}: {own.kind} becomes {new.kind} in the output"
        for name in self.variants:
            yield f"column {name!r}: VARIANT becomes a plain group of its members in the output"
