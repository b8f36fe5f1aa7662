"""Which worker owns a database, and which database a connection is about to ask for.

`find_database` looks at the first bytes of a connection without taking them: the request target's `ns`, else the first
label of the Host, or of the server name where the bytes are a TLS greeting. It may not know (bytes missing, nothing
named): then the connection is served where it is, and moves on when its request has been read.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

import xxhash

_NS = re.compile(rb"[?&]ns=([^& ]*)")
_HOST = re.compile(rb"\r\n[Hh][Oo][Ss][Tt]:[ \t]*([^\r\n]*)\r\n")
_TLS_HANDSHAKE = 0x16


def owner_of(database: str, workers: int) -> int:
    """The worker, 0..workers-1, that owns `database`: the same in every process and at every start."""
    return xxhash.xxh64_intdigest(database.encode()) % workers


def find_database(head: bytes) -> str | None:
    """The database that a connection starting with `head` names, or None if that cannot be told yet."""
    if head[:1] == bytes([_TLS_HANDSHAKE]):
        name = find_server_name(head)
        return database_of_host(name) if name else None
    line_end = head.find(b"\r\n")
    if line_end < 0:
        return None
    named = _NS.search(head, 0, line_end)
    if named:
        return unquote(named.group(1).decode("latin-1")) or None
    host = _HOST.search(head, line_end)
    return database_of_host(host.group(1).decode("latin-1").strip()) if host else None


def name_of_host(host: str) -> str:
    """`host` without its port."""
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


def database_of_host(host: str) -> str | None:
    """The first label of a host of three labels or more (`rooms.example.com`); None for addresses and shorter names."""
    name = name_of_host(host)
    try:
        ipaddress.ip_address(name.strip("[]"))
        return None
    except ValueError:
        pass
    labels = name.split(".")
    if labels[-1].lower() == "localhost":
        return labels[0].lower() if len(labels) > 1 else None
    return labels[0].lower() if len(labels) > 2 else None


def find_server_name(hello: bytes) -> str | None:
    """The server name of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3), or None if it is not all there."""
    try:
        place = 5 + 4 + 2 + 32  # record header, handshake header, version, random
        place += 1 + hello[place]  # session id
        place += 2 + int.from_bytes(hello[place : place + 2], "big")  # cipher suites
        place += 1 + hello[place]  # compression methods
        end = place + 2 + int.from_bytes(hello[place : place + 2], "big")
        place += 2
        while place + 4 <= min(end, len(hello)):
            kind = int.from_bytes(hello[place : place + 2], "big")
            size = int.from_bytes(hello[place + 2 : place + 4], "big")
            if kind == 0:
                # A list of names, in practice one: list length 2, type 1, name length 2, name.
                name_size = int.from_bytes(hello[place + 7 : place + 9], "big")
                name = hello[place + 9 : place + 9 + name_size]
                return name.decode("ascii") if name and len(name) == name_size else None
            place += 4 + size
    except (IndexError, UnicodeDecodeError):
        pass
    return None
