"""Request targets: the path as decoded segments and the query as parameters.

Segments are decoded after they are cut at slashes, so an encoded slash stays inside its segment, where it makes an invalid
key rather than another place. Empty segments fall away. A parameter given twice counts as given last.
Does not know: what the segments and parameters mean. Source: RFC 3986; docs/rest.md "Addresses".
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from meadowlark.errors import Code, Refused

PARAMETERS_MAX = 256
"""Parameters of one request. REST knows about thirty; a long poll has three for each message of a few bytes in its 1,870."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """`segments` of the path, decoded; `host` only where the target was a whole URL, as proxies send it."""

    segments: tuple[str, ...]
    parameters: dict[str, str]
    host: str | None = None


def parse_target(text: str) -> Target:
    """The parts of `/a/b.json?ns=x`, or of a whole URL. Raises Refused when it is not valid percent-encoded UTF-8."""
    host = None
    if not text.startswith("/"):
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise Refused(Code.INVALID_REQUEST, "expected a path that begins with '/'")
        host, _, path = rest.partition("/")
        text = "/" + path
    path, _, query = text.partition("#")[0].partition("?")
    segments = tuple([decode_segment(segment) for segment in path.split("/") if segment])
    return Target(segments, parse_query(query), host)


def decode_segment(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Refused(Code.INVALID_PATH, "the path is not percent-encoded UTF-8") from None


def parse_query(query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        return dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX))
    except ValueError:
        text = f"the query is not percent-encoded UTF-8, or has over {PARAMETERS_MAX} parameters"
        raise Refused(Code.INVALID_REQUEST, text) from None
