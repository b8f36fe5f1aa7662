"""The examples of the documents, run as they stand against a server: what README.md and docs/start.md show is what happens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Server

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE_SECONDS = 60

PUSH_ID = re.compile(r'"name":"[-0-9A-Z_a-z]{20}"')


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (PROJECT / document).read_text(), re.MULTILINE | re.DOTALL)


def transcripts(document: str) -> list[str]:
    """The console blocks that talk to a server in `dev`; those with `make` or a credential need another one."""
    return [block for block in blocks(document, "console") if "curl" in block and "admin-credential" not in block]


def run(command: list[str], folder: Path, text: str | None = None, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        input=text,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=EXAMPLE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_transcript(transcript: str, port: int, folder: Path) -> list[str]:
    """The lines that the commands print, sorted, since a stream's come beside the others'."""
    commands = [line.removeprefix("$ ") for line in transcript.splitlines() if line.startswith("$ ")]
    script = "set -e\n: > told\n"
    for command in commands:
        quiet = command.replace("curl ", "curl -sS ").replace(":9000", f":{port}")
        if quiet.endswith("&"):
            # The next command waits for the stream's first event, as a person would.
            script += f"{quiet.removesuffix('&')} > told &\n{until_told(1)}"
        else:
            script += f"{quiet}\necho\n"
    script += until_told(transcript.count("\ndata: ")) + '[ -z "$(jobs -p)" ] || kill $(jobs -p)\ncat told\n'
    return comparable(run(["bash", "-c", script], folder))


def until_told(count: int) -> str:
    """Commands that wait until the stream has told `count` events, or half of the time is up."""
    turns = EXAMPLE_SECONDS * 10
    return f"for turn in $(seq {turns}); do [ $(grep -c ^data: told) -lt {count} ] || break; sleep 0.05; done\n"


def comparable(text: str) -> list[str]:
    return sorted(PUSH_ID.sub('"name":"(a push id)"', line) for line in text.splitlines() if line)


@pytest.mark.parametrize("document", ["README.md", "docs/start.md"])
def test_transcripts_show_what_happens(own_server: Server, tmp_path: Path, document: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("CURL IS MISSING: the transcripts of the documents are NOT tested")
    shown = transcripts(document)
    assert shown
    for transcript in shown:
        expected = comparable("\n".join(line for line in transcript.splitlines() if not line.startswith("$ ")))
        assert run_transcript(transcript, own_server.port, tmp_path) == expected


def test_the_examples_for_python_run(own_server: Server, tmp_path: Path) -> None:
    examples = blocks("docs/clients.md", "python")
    assert len(examples) == 2
    for example in examples:
        file = tmp_path / "example.py"
        file.write_text(example.replace(":9000", f":{own_server.port}"))
        printed = run([sys.executable, str(file)], tmp_path, PYTHONPATH=str(PROJECT / "src"))
        assert printed.splitlines()[-1] in ("1 done", "1")


def test_the_examples_about_testing_run(tmp_path: Path) -> None:
    with_pytest, without = blocks("docs/testing.md", "python")
    (tmp_path / "test_example.py").write_text(with_pytest)
    assert "2 passed" in run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "."], tmp_path)
    printed = run([sys.executable, "-c", without], tmp_path, PYTHONPATH=str(PROJECT / "src"))
    assert printed.splitlines() == ["1", "None", "None"]


def test_the_readmes_javascript_prints_the_task(own_server: Server, node: Path) -> None:
    own_server.rest("PUT", "/tasks/milk", {"title": "Buy milk", "done": True}, ns="demo")
    (example,) = blocks("README.md", "js")
    printed = run_javascript(example, own_server.port, node)
    assert printed.splitlines()[-1] == "{ done: false, title: 'Buy milk' }"


def test_the_start_pages_javascript_writes_what_it_says(own_server: Server, node: Path) -> None:
    (example,) = blocks("docs/start.md", "js")
    printed = run_javascript(example, own_server.port, node)
    assert "text: 'Hello'" in printed


def test_the_start_pages_python_prints_what_it_wrote(own_server: Server, tmp_path: Path) -> None:
    (example,) = blocks("docs/start.md", "python")
    example = example.replace(":9000", f":{own_server.port}")
    printed = run([sys.executable, "-c", example], tmp_path, FIREBASE_DATABASE_EMULATOR_HOST=f"127.0.0.1:{own_server.port}")
    assert printed == "{'grace': {'name': 'Grace'}}\n"


def run_javascript(example: str, port: int, node: Path) -> str:
    """What `example` prints; it would go on listening, so it is ended after its last line."""
    source = example.replace(":9000", f":{port}").replace(", 9000)", f", {port})") + "\nprocess.exit(0);\n"
    return run(["node", "--input-type=module"], node, source)
