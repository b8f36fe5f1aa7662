"""`get`, `set`, `update`, `push`, `remove`, `watch`, `import`, `export`: a database from a shell, for scripts and bad days.

Values come from an argument, a file or standard input and go to standard output, as JSON; what is said to people goes to standard
error.
Each command ends with one of `Exit`. Source: docs/cli.md.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from meadowlark.cli.application import Exit, Failed, application, writing
from meadowlark.cli.options import ConfigFile, CredentialFile, Data, Url
from meadowlark.limits import BODY_BYTES_MAX

Place = Annotated[str, typer.Argument(metavar="PATH", help="Keys between slashes: /rooms/7. The root is /.")]
Database = Annotated[str | None, typer.Option("--database", "-d", metavar="NAME", help="The database.")]
AsJson = Annotated[bool, typer.Option("--json", help="Say what was done, or went wrong, as a line of JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]
Value = Annotated[str | None, typer.Argument(metavar="JSON", help="The value; - or none: standard input.")]
File = Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="Read the value from a file.")]
Text = Annotated[str | None, typer.Option(metavar="JSON", show_default=False)]
Count = Annotated[int | None, typer.Option(min=1, metavar="NUMBER", show_default=False)]


@application.command("get")
def get_value(
    path: Place,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    pretty: Annotated[bool, typer.Option("--pretty", help="Indented.")] = False,
    shallow: Annotated[bool, typer.Option("--shallow", help="Only the keys.")] = False,
    priorities: Annotated[bool, typer.Option("--export", help="With priorities, and no arrays.")] = False,
    order_by: Annotated[str | None, typer.Option("--order-by", metavar="CHILD", help="Or $key, $value, $priority.")] = None,
    start_at: Text = None,
    start_after: Text = None,
    end_at: Text = None,
    end_before: Text = None,
    equal_to: Text = None,
    limit_to_first: Count = None,
    limit_to_last: Count = None,
) -> None:
    """Print the value at a path as JSON."""
    from meadowlark.cli.asking import to_json

    given: dict[str, Any] = {"print": "pretty" if pretty else None, "shallow": "true" if shallow else None}
    given |= {"format": "export" if priorities else None, "orderBy": None if order_by is None else to_json(order_by)}
    given |= {"startAt": start_at, "startAfter": start_after, "endAt": end_at, "endBefore": end_before, "equalTo": equal_to}
    given |= {"limitToFirst": limit_to_first, "limitToLast": limit_to_last}
    parameters = {name: str(value) for name, value in given.items() if value is not None}
    server, keys = _find(path, database, url, credential_file, data, config)
    _print_pieces(server.ask("GET", keys, parameters=parameters).pieces())


@application.command("set")
def set_value(
    path: Place,
    value: Value = None,
    file: File = None,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Replace the value at a path."""
    server, keys = _find(path, database, url, credential_file, data, config)
    body = _read_value(value, file)
    server.ask("PUT", keys, parameters={"print": "silent"}, body=body).close()
    _tell({"done": "set", "path": path, "bytes": len(body)}, as_json=as_json)


@application.command("update")
def update_value(
    path: Place,
    value: Value = None,
    file: File = None,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Replace some children of a path, all or none; names may be paths, null removes."""
    server, keys = _find(path, database, url, credential_file, data, config)
    body = _read_value(value, file)
    server.ask("PATCH", keys, parameters={"print": "silent"}, body=body).close()
    _tell({"done": "update", "path": path, "bytes": len(body)}, as_json=as_json)


@application.command("push")
def push_value(
    path: Place,
    value: Value = None,
    file: File = None,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a value under a new key, and print the key."""
    import json

    server, keys = _find(path, database, url, credential_file, data, config)
    body = _read_value(value, file)
    name = str(json.loads(server.ask("POST", keys, body=body).read())["name"])
    if not as_json:
        typer.echo(name)
    _tell({"done": "push", "path": path, "name": name, "bytes": len(body)}, as_json=as_json)


@application.command("remove")
def remove_value(
    path: Place,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Needed to remove the root, which is everything.")] = False,
) -> None:
    """Remove the value at a path, whether there is one or not."""
    server, keys = _find(path, database, url, credential_file, data, config)
    if not keys and not force:
        raise Failed(Exit.USAGE, "removing the root removes everything: say so with --force")
    server.ask("DELETE", keys, parameters={"print": "silent"}).close()
    _tell({"done": "remove", "path": path}, as_json=as_json)


@application.command("watch")
def watch_path(
    path: Place,
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    count: Annotated[int | None, typer.Option("--count", min=1, metavar="NUMBER", help="End after so many events.")] = None,
) -> None:
    """Print every change at a path, and come back when the connection is lost."""
    from meadowlark.cli import watching

    server, keys = _find(path, database, url, credential_file, data, config)
    text_of = watching.for_programs if as_json else watching.for_people
    with contextlib.suppress(KeyboardInterrupt), writing():
        watching.watch(server, keys, lambda event: print(text_of(event), flush=True), count=count, quiet=quiet)


@application.command("import")
def import_file(
    path: Place,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A JSON file; - for standard input, up to 256 MiB.")],
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    resumable: Annotated[bool, typer.Option("--resumable", help="In parts, however small the file is.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an import in parts that was interrupted.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin an interrupted import in parts anew.")] = False,
    part_bytes: Annotated[int, typer.Option("--part-bytes", min=1, metavar="NUMBER", help="Of a part, about.")] = 4_194_304,
    retries: Annotated[int, typer.Option("--retries", min=0, metavar="NUMBER", help="Of a part that is not answered.")] = 5,
) -> None:
    """Replace the value at a path by a file: all or nothing up to 256 MiB, larger files in parts, resumably."""
    from meadowlark.cli import importing

    server, keys = _find(path, database, url, credential_file, data, config)
    if file == "-":
        if resumable or resume or restart:
            raise Failed(Exit.USAGE, "what comes from standard input cannot be imported in parts: name a file")
        done = importing.import_stream(server, keys, sys.stdin.buffer)
    else:
        work = importing.Import(server, keys, file, part_bytes=part_bytes, retries=retries, quiet=quiet or as_json)
        done = work.run(resumable=resumable, resume=resume, restart=restart)
    if not as_json and not quiet:
        how = "in one step, all or nothing" if done.way == "all-or-nothing" else f"in {done.parts} parts, resumably"
        typer.echo(f"{done.text_bytes} bytes imported {how}", err=True)
    _tell(importing.as_line(done) | {"path": path}, as_json=as_json)


@application.command("export")
def export_value(
    path: Place,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; - for standard output.")] = "-",
    database: Database = None,
    url: Url = None,
    credential_file: CredentialFile = None,
    data: Data = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the value at a path, with priorities and of one moment; a file is there whole or not at all."""
    from meadowlark.cli.progress import Progress

    server, keys = _find(path, database, url, credential_file, data, config)
    answer = server.ask("GET", keys, parameters={"format": "export"})
    if file == "-":
        _print_pieces(answer.pieces())
        return
    progress = Progress("export", quiet=quiet or as_json)
    beside, size = f"{file}.part", 0
    try:
        with open(beside, "wb") as target:
            for piece in answer.pieces():
                target.write(piece)
                size += len(piece)
                progress.advance(len(piece))
            target.flush()
            os.fsync(target.fileno())
        os.replace(beside, file)
    except OSError as error:
        raise Failed(Exit.USAGE, f"{file} cannot be written: {error.strerror}") from error
    finally:
        progress.end()
        if os.path.exists(beside):
            os.unlink(beside)
    _tell({"done": "export", "path": path, "bytes": size}, as_json=as_json)


def _find(
    path: str, database: str | None, url: str | None, credential_file: str | None, data: str | None, config: str | None
) -> Any:
    """The server, and the keys of `path`."""
    from meadowlark.cli.asking import find_server, read_path

    keys = read_path(path)
    return find_server(url=url, database=database, credential_file=credential_file, data=data, config=config), keys


def _read_value(value: str | None, file: str | None) -> bytes:
    """The value as text: the server judges it."""
    if value is not None and value != "-":
        if file is not None:
            raise Failed(Exit.USAGE, "a value is given and a file too; expected one of them")
        return value.encode()
    try:
        if file is None:
            text = sys.stdin.buffer.read(BODY_BYTES_MAX + 1)
        else:
            with open(file, "rb") as source:
                text = source.read(BODY_BYTES_MAX + 1)
    except OSError as error:
        raise Failed(Exit.USAGE, f"{file or 'standard input'} cannot be read: {error.strerror}") from error
    if len(text) > BODY_BYTES_MAX:
        raise Failed(Exit.USAGE, f"the value has more than {BODY_BYTES_MAX} bytes: use 'meadowlark import'")
    return text


def _print_pieces(pieces: Iterable[bytes]) -> None:
    """As it comes, with a line's end behind it."""
    last = b""
    with writing():
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            last = piece
        if not last.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    """What was done, for programs; people see it from the exit code."""
    if as_json:
        from meadowlark.cli.asking import to_json

        typer.echo(to_json(done))
