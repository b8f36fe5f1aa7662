"""What a session hands to the rim beside engine commands, in the order in which it must be carried out.

Immutable; values in them are copies, so they may be kept. An Authenticate must be finished before what follows it is carried out.
Source: docs/protocol.md "Requests" and "Ends".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from meadowlark.engine.commands import Command
from meadowlark.errors import Code


class Authenticate(msgspec.Struct, frozen=True, gc=False):
    """The client shows a credential: check it, then apply Identify with the same `request`, or refuse that request.

    kind: "auth" for a signed token, "gauth" for anything else. authvar, when has_authvar: the `auth` that rules shall see
    (None: nobody) in place of the admin's; noauth: rules shall see nobody. Both are for admins only.
    """

    request: int
    credential: str
    kind: Literal["auth", "gauth"]
    authvar: dict[str, Any] | None = None
    has_authvar: bool = False
    noauth: bool = False

    def __repr__(self) -> str:
        return f"Authenticate(request={self.request}, kind={self.kind!r}, credential of {len(self.credential)} characters)"


class Unauthenticate(msgspec.Struct, frozen=True, gc=False):
    """The client is nobody from now on: apply Identify(client, request, NOBODY)."""

    request: int


class SetPace(msgspec.Struct, frozen=True, gc=False):
    """The client wants to hear of volatile values so often a second at most; 0: of each."""

    request: int
    per_second: float


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Send `frame` as it is, in order with everything else that this client is sent."""

    frame: bytes
    code: Code | None = None
    """Why the request was refused, for who counts; None if it was not."""
    text: str = ""
    """The same for people, where there is no frame because nobody asked for an answer."""


class Close(msgspec.Struct, frozen=True, gc=False):
    """Close the connection; the session ignores whatever still comes."""

    code: int
    reason: str


class Long(msgspec.Struct, frozen=True, gc=False):
    """A message so long that reading it would take long: `Session.read` says what it asks, and nothing is received before that
    is done."""

    text: bytearray


class Switch(msgspec.Struct, frozen=True, gc=False):
    """The client has sent its last message this way; the next ones come on the other connection that it has opened."""


Outcome = Command | Authenticate | Unauthenticate | SetPace | Answer | Close | Long | Switch
