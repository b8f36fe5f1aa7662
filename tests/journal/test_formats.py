"""docs/formats.md is true: its worked example is what is written, and reads as it says."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest
import zstandard

from meadowlark.errors import JournalDamaged
from meadowlark.journal import Snapshots, segment, snapshot
from meadowlark.journal import group as group_module
from meadowlark.journal.files import read_whole
from tests.journal.scripts import SEGMENT, Run, make_files

DOCUMENT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
BODIES = [b'[["w","/a",1]]', b'[["w","/b",true]]']


def example() -> bytes:
    """The bytes of the worked example: the pairs of digits that begin each line."""
    block = re.search(r"```hex\n(.*?)```", DOCUMENT, re.DOTALL)
    assert block is not None
    return b"".join(bytes.fromhex(re.match(r"(?:[0-9a-f]{2} ?)*", line)[0]) for line in block[1].splitlines())


def test_the_journal_writes_the_example():
    files = make_files()
    run = Run(files)
    for sequence, body in enumerate(BODIES, 1):
        run.journal.append("demo", sequence, body, None)
    run.journal.close()
    assert read_whole(files, SEGMENT).rstrip(b"\0") == example().rstrip(b"\0")


def test_the_journal_reads_the_example():
    files = make_files()
    file = files.open(SEGMENT, create=True)
    file.write(0, [example()])
    run = Run(files)
    assert list(run.journal.records("demo", 0)) == list(enumerate(BODIES, 1))
    assert (run.report.groups, run.report.cut_bytes) == (2, 0)


def test_the_example_reads_as_the_tables_say():
    """A reader written from the document alone."""
    content = example()
    magic, version, worker, number, first_group, crc = struct.unpack_from("<8sIIQQI", content)
    assert (magic, version, worker, number, first_group) == (b"\xffMLSEG\r\n", 1, 0, 1, 1)
    assert crc == zlib.crc32(content[:32])
    found, offset = [], 36
    for expected_number in (1, 2):
        magic, size, count, number, synced, payload_crc, crc = struct.unpack_from("<4sIIQQII", content, offset)
        assert (magic, number, synced) == (b"\xffMLG", expected_number, offset)
        assert crc == zlib.crc32(content[offset : offset + 32])
        payload, offset = content[offset + 36 : offset + 36 + size], offset + 36 + size
        assert payload_crc == zlib.crc32(payload)
        for _ in range(count):
            body_size, crc, sequence, name_size = struct.unpack_from("<IIQB", payload)
            named_body, payload = payload[17 : 17 + name_size + body_size], payload[17 + name_size + body_size :]
            assert crc == zlib.crc32(named_body)
            found.append((named_body[:name_size], sequence, named_body[name_size:]))
        assert payload == b""
    assert offset == len(content)
    assert found == [(b"demo", 1, BODIES[0]), (b"demo", 2, BODIES[1])]


def test_a_changed_example_is_refused():
    content = bytearray(example())
    content[100] ^= 1
    files = make_files()
    files.open(SEGMENT, create=True).write(0, [bytes(content)])
    with pytest.raises(JournalDamaged):
        Run(files)


@pytest.mark.parametrize(
    ("magic", "text"),
    [
        (segment.MAGIC, "FF 4D 4C 53 45 47 0D 0A"),
        (group_module.MAGIC, "FF 4D 4C 47"),
        (snapshot.TRAILER_MAGIC, "FF 4D 4C 53 4E 41 50 0A"),
    ],
)
def test_the_magics_are_the_documents(magic, text):
    assert magic == bytes.fromhex(text)
    assert f"`{text}`" in DOCUMENT


def test_a_snapshot_is_its_lines_body_and_trailer():
    files = make_files()
    run = Run(files)
    run.databases.create("demo")
    writer = Snapshots(files, "data").writer("demo", 1000, {})
    writer.write(b'{"a":')
    writer.write(b"1}")
    writer.finish()
    content = read_whole(files, "data/databases/demo/snapshot-1000")
    line, crc, rest = content.split(b"\n", 2)
    assert line.decode() in DOCUMENT
    assert crc == b"%08x" % zlib.crc32(line)
    body, trailer = rest[:-36], rest[-36:]
    magic, size, _digest, compressed, crc = struct.unpack("<8sQQQI", trailer)
    assert (magic, size, compressed, crc) == (b"\xffMLSNAP\n", 7, len(body), zlib.crc32(trailer[:-4]))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == b'{"a":1}'
