"""Delta tables to read, also such as deltalake cannot write: with deletion vectors, and with renamed columns."""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def table(texts: Sequence[str | None], start: int = 0) -> pa.Table:
    """Rows with an id and a text, in two partitions."""
    ids = range(start, start + len(texts))
    return pa.table(
        {"id": pa.array(ids, pa.int64()), "text": pa.array(texts, pa.string()), "half": [n % 2 for n in ids]}
    )


def commit(folder: Path, *actions: Mapping[str, Any]) -> None:
    """Add a version to the table in *folder*, as another engine would."""
    version = DeltaTable(folder).version() + 1
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{version:020}.json").write_text(lines)


def last(folder: Path, action: str) -> list[dict[str, Any]]:
    """What the log of the table in *folder* has said of an *action*, in order."""
    logs = sorted((folder / "_delta_log").glob("*.json"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return [line[action] for line in lines if action in line]


def with_features(*features: str) -> dict[str, Any]:
    """The protocol of a table that has *features*."""
    return {
        "protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": list(features),
            "writerFeatures": list(features),
        }
    }  # fmt: skip


def delete_by_vector(folder: Path, rows: Sequence[int]) -> None:
    """Mark *rows* of the latest data file as deleted, and leave the file as it is."""
    add = last(folder, "add")[-1]
    content = struct.pack("<iQI", 1681511377, 1, 0) + _roaring(rows)
    content += b"\0" * (-len(content) % 4)
    text = base64.b85encode(content).decode().translate(str.maketrans(_B85, _Z85))
    vector = {
        "storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(content), "cardinality": len(rows)
    }  # fmt: skip
    remove = {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}
    commit(
        folder,
        with_features("deletionVectors"),
        {"remove": remove},
        {"add": {**add, "deletionVector": vector}},
    )


def _roaring(rows: Sequence[int]) -> bytes:
    """A bitmap of numbers below 65,536, as the Roaring format has it."""
    header = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16)
    return header + struct.pack(f"<{len(rows)}H", *sorted(rows))


def rename_column(folder: Path, old: str, new: str) -> None:
    """Rename a column, or a field in one, by mapping: files keep the *old* name."""
    metadata = last(folder, "metaData")[-1]
    schema = json.loads(metadata["schemaString"])
    _map(schema, count(1), {old: new})
    mode = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "99"}
    changed = {**metadata, "schemaString": json.dumps(schema), "configuration": mode}
    commit(folder, with_features("columnMapping"), {"metaData": changed})


def _map(kind: Any, numbers: Iterator[int], names: Mapping[str, str]) -> None:
    """Give each field in *kind* the names that a table with mapped columns has for it."""
    if not isinstance(kind, dict):
        return
    for field in kind.get("fields", ()):
        field["metadata"] = {
            "delta.columnMapping.id": next(numbers), "delta.columnMapping.physicalName": field["name"]
        }  # fmt: skip
        field["name"] = names.get(field["name"], field["name"])
        _map(field["type"], numbers, names)
    for inner in ("elementType", "keyType", "valueType"):
        _map(kind.get(inner), numbers, names)


def written(folder: Path, rows: pa.Table, **how: Any) -> DeltaTable:
    write_deltalake(folder, rows, **how)
    return DeltaTable(folder)
