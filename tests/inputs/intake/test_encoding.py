"""Text in any encoding, compressed or not, and where a byte in it is invalid."""

import gzip

import pytest

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.delimited import tables
from tests.inputs.samples import GOOD_CSV


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("cp1252", b"\x81"), ("shift_jis", b"\xff"), ("gb18030", b"\xff"), ("utf-16-le", b"\x00\xdc")],
)
@pytest.mark.parametrize("block_bytes", [1, 5, 1000])
def test_bytes_outside_of_a_declared_encoding_are_named(put, encoding, bad, block_bytes):
    good = "id,text\n1,a\n2,b\n3,".encode(encoding)
    path = put("a.csv", good + bad + "\n".encode(encoding))
    with path.open("rb") as raw, pytest.raises(InputDataError) as caught:
        list(tables(path, raw, CsvSettings(encoding=encoding), block_bytes=block_bytes))
    expected = f"a.csv:4: row 2: byte 0x{bad[0]:02X} at {len(good)} is not in {encoding}; set csv.encoding"
    assert expected in str(caught.value)


def test_a_gzip_file_cut_short_is_refused(tmp_path, refused):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(GOOD_CSV.encode() * 1000)[:-20])
    refused(path, "end", "copy it again")
