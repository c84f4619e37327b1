"""Rows come in: Parquet and CSV, a file, a folder or a glob, checked before the first request and read in chunks."""

from pipeline.inputs.prefetch import prefetch
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import InputFile, Source, ensure_unchanged, whole
from pipeline.inputs.survey import survey

__all__ = [
    "InputFile",
    "Source",
    "ensure_unchanged",
    "prefetch",
    "read_batches",
    "read_chunks",
    "survey",
    "whole",
]
