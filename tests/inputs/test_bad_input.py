"""Every kind of bad input is refused before anything is sent, in one line that names the fix."""

import gzip
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pqe
import pytest

from pipeline.config import CsvSettings
from pipeline.errors import ConfigError, InputDataError, NoInputError, PipelineError
from pipeline.inputs.delimited.scan import inspect

GOOD = "id,text\n1,one\n2,two\n"


def parquet_bytes(table, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


PLAIN = parquet_bytes(pa.table({"text": ["abc", "def"]}), compression="gzip")
BAD_FILES = {
    "nothing": ("a.csv", b"", ["empty (0 bytes)"]),
    "nothing, Parquet": ("a.parquet", b"", ["empty (0 bytes)"]),
    "a cut Parquet": ("a.parquet", PLAIN[:-9], ["cut short"]),
    "a Parquet without its middle": ("a.parquet", PLAIN[:30] + PLAIN[40:], ["can be read", "write it again"]),
    "CSV named .parquet": ("a.parquet", GOOD, ["is text, not Parquet", "name it .csv"]),
    "gzip named .csv": ("a.csv", gzip.compress(GOOD.encode()), ["is gzip, not text", ".csv.gz"]),
    "gzip named .parquet": ("a.parquet", gzip.compress(b"x"), ["is gzip, not Parquet"]),
    "Parquet named .csv": ("a.csv", PLAIN, ["is Parquet, not text", "name it .parquet"]),
    "a workbook named .csv": ("a.csv", b"PK\x03\x04rest", ["Excel"]),
    "cut gzip": ("a.csv", b"", ["end", "copy it again"]),  # filled in below, because `put` packs by name
    "blank lines only": ("a.csv", "\n\n\n", [":1:", "header"]),
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), ["UTF-16", "csv.encoding"]),
    "UTF-16 without a mark": ("a.csv", GOOD.encode("utf-16-le"), ["UTF-16", "csv.encoding"]),
    "Latin-1": ("a.csv", "id,text\n1,one\n2,\xe9t\xe9\n".encode("latin-1"), [":3:", "row 1", "0xE9 at 16", "latin-1"]),
    "mixed encodings": ("a.csv", "id,text\n1,é\n".encode() + b"2,\xe9\n", [":3:", "row 1", "0xE9", "csv.encoding"]),
    "a Latin-1 header": ("a.csv", "t\xe9xt,text\n".encode("latin-1"), [":1:", "0xE9", "csv.encoding"]),
    "a row with a cell more": ("a.csv", GOOD + "3,a,b\n", [":4:", "3 cells", "header has 2", "quote"]),
    "a row with a cell less": ("a.csv", GOOD + "3\n4,x\n", [":4:", "1 cell where", "header has 2"]),
    "a quote left open at the end": ("a.csv", GOOD + '3,"a\n4,b\n', [":4:", "cell 2", "nothing closes"]),
    "a quote that takes in other rows": ("a.csv", GOOD + '3,"a\n4,b\n5,"c"\n', [":4:", "cell 2", "closing quote"]),
    "text behind a quoted cell": ("a.csv", GOOD + '3,"a"b\n', [":4:", "cell 2", "closing quote"]),
    "an open quote in the header": ("a.csv", 'id,"text\n1,2\n', [":1:", "header", "quote"]),
    "the wrong delimiter": ("a.csv", "id;text\n1;one, two\n", ["'id;text'", "csv.delimiter to ';'"]),
    "the wrong delimiter, no comma": ("a.csv", "id\ttext\n1\tone\n", ["csv.delimiter to '\\t'"]),
    "a bomb in one cell": (
        "a.parquet", lambda: parquet_bytes(pa.table({"text": ["a" * 140_000_000]}), compression="zstd"), ["140000", "smaller"],
    ),
    "a bomb in many cells": (
        "a.parquet",
        lambda: parquet_bytes(pa.table({"text": ["a" * 1000] * 140_000}), compression="zstd", use_dictionary=False),
        ["declares", "smaller row groups"],
    ),
    "a bomb beside honest text": (
        "a.parquet",
        lambda: parquet_bytes(
            pa.table({"text": ["a" * 140_000_000], "noise": [random.Random(1).randbytes(2 << 20)]}), compression="zstd"
        ),
        ["column 'text'", "declares 140000", "smaller"],
    ),
    "a codec without a decoder": ("a.parquet", PLAIN.replace(b"text\x15\x04", b"text\x15\x06"), ["codec", "zstd"]),
    "a codec without a name": ("a.parquet", PLAIN.replace(b"text\x15\x04", b"text\x15\x28"), ["codec", "zstd"]),
    "an encrypted footer": ("a.parquet", b"PARE" + PLAIN[4:-4] + b"PARE", ["encrypted", "decrypt"]),
    "the used column twice": ("a.csv", "text,text\n1,2\n", ["2 columns named 'text'"]),
    "a nested column": ("a.parquet", pa.table({"text": [["a"]]}), ["'text' is list<", "no text"]),
    "a struct": ("a.parquet", pa.table({"text": [{"a": 1}]}), ["struct<", "no text"]),
    "a binary column": ("a.parquet", pa.table({"text": [b"a"]}), ["is binary", "no text"]),
    "a dictionary of bytes": ("a.parquet", pa.table({"text": pa.array([b"a"]).dictionary_encode()}), ["no text"]),
    "another suffix": ("a.json", "{}", ["suffix", ".parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line_with_the_fix(put, look, case):
    name, content, words = BAD_FILES[case]
    path = put(name, content() if callable(content) else content)
    if case == "cut gzip":
        path = path.with_name("b.csv.gz")
        path.write_bytes(gzip.compress(GOOD.encode() * 1000)[:-20])
    with pytest.raises(InputDataError) as caught:
        look(path)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    assert "\n" not in problem
    assert ";" in problem
    assert not [word for word in words if word not in problem], problem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.csv", "no such file"),
        ("absent/*.csv", "holds no"),
        ("s3://bucket/a.csv", "URLs"),
        (".", "holds no"),
    ],
)
def test_nothing_to_read_is_no_input(tmp_path, look, name, words):
    with pytest.raises(NoInputError, match=words):
        look(name if "://" in name else tmp_path / name)


def test_an_encrypted_column_is_refused_and_does_not_end_the_process(put, look):
    class Keys(pqe.KmsClient):
        def wrap_key(self, key_bytes, _master):
            return key_bytes.hex()

        def unwrap_key(self, wrapped, _master):
            return bytes.fromhex(wrapped)

    factory = pqe.CryptoFactory(lambda _: Keys())
    for plaintext_footer in (True, False):
        how = pqe.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plaintext_footer
        )
        path = put("a.parquet", b"")
        table = pa.table({"text": ["a"]})
        keys = factory.file_encryption_properties(pqe.KmsConnectionConfig(), how)
        pq.write_table(table, path, encryption_properties=keys)
        with pytest.raises(InputDataError, match=r"encrypted.*decrypt it first"):
            look(path)


def test_a_missing_column_is_named_with_the_ones_there_are(put, look):
    with pytest.raises(ConfigError, match=r"no column 'texte'; its columns are 'id', 'text'"):
        look(put("a.csv", GOOD), "texte")


def test_problems_of_all_files_and_columns_come_at_once(put, look, tmp_path):
    put("d/a.csv", GOOD)
    put("d/b.csv", b"")
    put("d/c.csv", 'id,text\n1,"\n')
    put("d/d.csv", "id,text,more\n")
    with pytest.raises(PipelineError) as caught:
        look(tmp_path / "d", "text", "absent")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for word in ("b.csv: is empty", "c.csv:2", "d.csv: has a column 'more'", "no column 'absent'"):
        assert word in problems


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pa.table({"id": [1]}), "b.parquet: has no column 'text', a.parquet has one"),
        (pa.table({"id": [1], "text": ["a"], "x": [1]}), "b.parquet: has a column 'x'"),
        (
            pa.table({"id": ["1"], "text": ["a"]}),
            "b.parquet: column 'id' is string, in a.parquet it is int64",
        ),
        (pa.table({"text": ["a"], "id": [1]}), "b.parquet: column 'text' is in another place"),
    ],
)
def test_files_of_differing_schemas_are_refused_by_file_and_column(put, look, tmp_path, other, words):
    put("d/a.parquet", pa.table({"id": [1], "text": ["a"]}))
    put("d/b.parquet", other)
    with pytest.raises(InputDataError) as caught:
        look(tmp_path / "d")
    assert words in str(caught.value)


def test_a_folder_that_mixes_formats_is_refused(put, look, tmp_path):
    put("d/a.parquet", pa.table({"text": ["a"]}))
    put("d/b.csv", GOOD)
    with pytest.raises(InputDataError, match=r"mixes formats: b.csv \(csv\), a.parquet \(parquet\)"):
        look(tmp_path / "d")


@pytest.mark.parametrize("csv", [{"delimiter": "§"}, {"quote": ","}])
def test_a_delimiter_or_quote_that_cannot_be_is_a_config_error(put, look, csv):
    with pytest.raises(ConfigError, match="csv"):
        look(put("a.csv", GOOD), **csv)


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("cp1252", b"\x81"), ("shift_jis", b"\xff"), ("gb18030", b"\xff"), ("utf-16-le", b"\x00\xdc")],
)
@pytest.mark.parametrize("block_bytes", [1, 5, 1000])
def test_bytes_outside_of_a_declared_encoding_are_named(put, encoding, bad, block_bytes):
    good = "id,text\n1,a\n2,b\n3,".encode(encoding)
    path = put("a.csv", good + bad + "\n".encode(encoding))
    with pytest.raises(InputDataError) as caught:
        inspect(path, CsvSettings(encoding=encoding), block_bytes=block_bytes)
    expected = f"a.csv:4: row 2: byte 0x{bad[0]:02X} at {len(good)} is not in {encoding}; set csv.encoding"
    assert expected in str(caught.value)


def test_a_page_that_rotted_is_named_by_file_and_rows(put, look, read):
    rows = [f"{number:050}" for number in range(10_000)]
    options = {"compression": "none", "use_dictionary": False, "row_group_size": 2_500}
    data = bytearray(parquet_bytes(pa.table({"text": rows}), write_page_checksum=True, **options))
    data[data.index(b"5100".zfill(50))] ^= 1
    path = put("a.parquet", bytes(data))
    assert look(path).rows == 10_000
    with pytest.raises(InputDataError, match=r"a.parquet: rows 5000 to 7499 cannot be read .*CRC"):
        read(path)
