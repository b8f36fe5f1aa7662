"""Who sends an HTTP request."""

from __future__ import annotations

from typing import Any

import msgspec

from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.auth.tokens import Verifier, override
from meadowlark.errors import Code, Refused
from meadowlark.server.exchange import Exchange
from meadowlark.wire.rest import find_credential


def identify(verifier: Verifier, credential: str | None, acts_as: Any = msgspec.UNSET) -> Identity:
    """Who presents `credential` (None: nobody), or who it wants to be instead. Raises Refused."""
    identity = NOBODY if credential is None else verifier.verify(credential, "rest")
    return identity if acts_as is msgspec.UNSET else override(identity, acts_as)


def check_admin(verifier: Verifier, exchange: Exchange) -> None:
    """Raises Refused unless the request has an admin's credential."""
    credential = find_credential(exchange.target.parameters, exchange.head.headers)
    if not identify(verifier, credential).admin:
        raise Refused(Code.PERMISSION_DENIED, "Permission denied")
