"""The limits and constants that the JavaScript client has copies of are the server's."""

from __future__ import annotations

import ast
import json
import re
import subprocess

import pytest

from meadowlark import ids, limits
from meadowlark.query import positions
from meadowlark.tree.paths import find_key_fault
from meadowlark.wire import webtransport
from tests.js.conftest import FOLDER

COPIES = {
    ("node.ts", "KEY_BYTES_MAX"): limits.KEY_BYTES_MAX,
    ("node.ts", "DEPTH_MAX"): limits.PATH_DEPTH_MAX,
    ("connection.ts", "FRAME_UNITS"): limits.FRAME_BYTES_MAX,
    ("transport.ts", "PATHS_MAX"): limits.DATAGRAM_PATHS_MAX,
    ("transport.ts", "PATH_BYTES_MAX"): webtransport.PATH_BYTES_MAX,
    ("index.ts", "ALPHABET"): ids._PUSH_ALPHABET,
    ("query.ts", "MIN_NAME"): positions.MIN_NAME,
    ("query.ts", "MAX_NAME"): positions.MAX_NAME,
}


@pytest.mark.parametrize(("file", "name"), COPIES)
def test_a_copy_is_equal(file: str, name: str) -> None:
    source = (FOLDER / "src" / file).read_text()
    found = re.search(rf"^(?:export )?const {name} = ([^;]+);", source, re.MULTILINE)
    assert found, f"{name} is no constant of {file} any more"
    assert ast.literal_eval(found[1]) == COPIES[file, name]


def test_frames_of_the_client_are_within_what_the_server_takes() -> None:
    assert limits.FRAME_BYTES_MAX * 3 <= limits.CLIENT_FRAME_BYTES_MAX


def test_idle_clients_speak_before_the_server_asks() -> None:
    """So that neither asks the other in vain: what the server waits for is longer than the client is ever silent."""
    source = (FOLDER / "src" / "connection.ts").read_text()
    silence = re.search(r"const SILENCE_MS = (\d+);", source)
    factor = re.search(r"const \[IDLE_AFTER, IDLE_FACTOR\] = \[\d+, (\d+)\];", source)
    assert silence
    assert factor
    assert int(silence[1]) * int(factor[1]) / 1000 < limits.PING_SECONDS


LETTERS = ["a", "ü", "€", "😀"]
COUNTS = [190, 192, 193, 255, 256, 257, 384, 385, 768, 769]


def node_says(script: str) -> list[bool]:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=True
    )
    return list(json.loads(done.stdout))


def test_the_same_keys_are_refused(built: str) -> None:
    codes = [*range(0x250), *range(0x2000, 0x2070), *range(0xD7F0, 0xE010), 0xFFFF, 0x10000, 0x1F600]
    script = f"""
        import {{ checkKey }} from './dist/internals.js';
        const refused = (key) => {{ try {{ checkKey(key); return false; }} catch {{ return true; }} }};
        const keys = {json.dumps(codes)}.map((code) => `a${{String.fromCodePoint(code)}}b`);
        for (const one of {json.dumps(LETTERS)}) for (const count of {COUNTS}) keys.push(one.repeat(count));
        keys.push('');
        console.log(JSON.stringify(keys.map(refused)));"""
    keys = [f"a{chr(code)}b" for code in codes]
    keys += [one * count for one in LETTERS for count in COUNTS]
    keys.append("")
    expected = [find_key_fault(key) is not None for key in keys]
    assert [
        (key[:5], len(key)) for key, ours, theirs in zip(keys, node_says(script), expected, strict=True) if ours != theirs
    ] == []


def test_the_same_depths_and_rates_are_refused(built: str) -> None:
    rates = [
        0,
        limits.VOLATILE_RATE_MIN,
        limits.VOLATILE_RATE_MAX,
        limits.VOLATILE_RATE_MIN / 2,
        limits.VOLATILE_RATE_MAX + 1,
        -1,
    ]
    depth = limits.PATH_DEPTH_MAX
    script = f"""
        import {{ close, getDatabase, ref, set, setVolatileRate }} from './dist/index.js';
        class Silent {{ bufferedAmount = 0; close() {{}} send() {{}} }}
        const database = getDatabase('http://localhost:1?ns=a', {{ WebSocket: Silent }});
        const refused = (action) => {{ try {{ action()?.catch(() => {{}}); return false; }} catch {{ return true; }} }};
        const deep = (levels, value = 1) => (levels ? {{ k: deep(levels - 1, value) }} : value);
        const path = (levels) => Array(levels).fill('k').join('/');
        console.log(JSON.stringify([
            ...{json.dumps(rates)}.map((rate) => refused(() => setVolatileRate(database, rate))),
            refused(() => set(ref(database, path({depth})), 1)),
            refused(() => set(ref(database, path({depth} + 1)), 1)),
            refused(() => set(ref(database, path(2)), deep({depth} - 2))),
            refused(() => set(ref(database, path(2)), deep({depth} - 1))),
        ]));
        close(database);
        process.exit(0);"""
    assert node_says(script) == [False, False, False, True, True, True, False, True, False, True]
