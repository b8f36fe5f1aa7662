"""Who asks: the rim around the verifier, with the clock and the keys that it does not have.

`look` answers at once or says that keys are wanted; `identify` waits for them. `tend`, once a second, keeps keys fresh and
notices that credentials were revoked. What was verified ends by `why_ended`: connections ask when their time has come.
Source: docs/semantics.md "Identity".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.identity import NOBODY, Identity
from meadowlark.auth.tokens import DevVerifier, Kind, Verifier, Wanted, override
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.errors import Code, ConfigInvalid, Refused
from meadowlark.server.config import Config
from meadowlark.server.credential import read_credential
from meadowlark.server.credentials_file import CredentialsWatch, list_credentials
from meadowlark.server.exchange import Exchange
from meadowlark.wire.rest import find_credential

if TYPE_CHECKING:
    from meadowlark.server.key_fetcher import KeyFetcher

log = structlog.get_logger()

FETCHES_MAX = 3
"""Times that one token may make us wait for keys; the first brings them or none."""
_READING = ("GET", "HEAD")


class Identities:
    """One a worker."""

    def __init__(self, verifier: Verifier, clock: Callable[[], float], fetcher: KeyFetcher | None = None) -> None:
        """clock: seconds since 1970."""
        self._verifier = verifier
        self._clock = clock
        self._fetcher = fetcher

    def look(self, credential: str, kind: Kind, database: str | None) -> Identity | None:
        """Who presents `credential`; None if that cannot be said before keys have been fetched. Raises Refused."""
        found = self._verifier.verify(credential, kind, database, self._clock())
        return found if isinstance(found, Identity) else None

    async def identify(self, credential: str, kind: Kind, database: str | None) -> Identity:
        """Who presents `credential`; takes as long as its keys need. Raises Refused."""
        for _ in range(FETCHES_MAX):
            found = self._verifier.verify(credential, kind, database, self._clock())
            if not isinstance(found, Wanted):
                return found
            assert self._fetcher is not None, "only its rings can want keys"
            await self._fetcher.fetch(found.ring)
        raise Refused(Code.UNAVAILABLE, "The keys that verify this token change faster than they can be fetched")

    async def identify_caller(self, credential: str | None, database: str | None, acts_as: Any = msgspec.UNSET) -> Identity:
        """Who sends an HTTP request (no credential: nobody), or who it wants to be instead. Raises Refused."""
        identity = NOBODY if credential is None else await self.identify(credential, "rest", database)
        return identity if acts_as is msgspec.UNSET else override(identity, acts_as)

    async def check_admin(self, exchange: Exchange, *, of_all: bool = False) -> Identity:
        """The admin who sends the request, and may do such a thing to what it concerns. Raises Refused if nobody such does.

        of_all: it concerns every database.
        """
        credential = find_credential(exchange.target.parameters, exchange.head.headers)
        identity = await self.identify_caller(credential, None if of_all else exchange.database)
        if not identity.admin or (identity.reads_only and exchange.head.method not in _READING):
            raise Refused(Code.PERMISSION_DENIED, "Permission denied")
        return identity

    def why_ended(self, identity: Identity) -> Refused | None:
        """Why `identity` counts no more; None: it does."""
        return self._verifier.why_ended(identity, self._clock())

    def tend(self) -> bool:
        """Once a second. True if credentials were revoked, so that everybody's must be looked at."""
        if self._fetcher is not None:
            self._fetcher.tend()
        return False


class ServeIdentities(Identities):
    """Production: reads the list of credentials again when it changes."""

    def __init__(self, config: Config, data: str, clock: Callable[[], float]) -> None:
        self._watch = CredentialsWatch(data)
        self._first = read_credential(config.credential_file(data))
        self._data = data
        issuers, fetcher = None, None
        if config.verifies_tokens:
            # Here, since cryptography takes a tenth of a second and some megabytes, which who has no issuers is spared.
            from meadowlark.server.identity_file import read_identity
            from meadowlark.server.key_fetcher import KeyFetcher

            configured = read_identity(config)
            issuers = configured.issuers
            fetcher = KeyFetcher(configured.sources, clock)
        self._serving = ServeVerifier(Credentials(self._first, list_credentials(data)), issuers)
        super().__init__(self._serving, clock, fetcher)

    def tend(self) -> bool:
        super().tend()
        if not self._watch.has_changed():
            return False
        try:
            named = list_credentials(self._data)
        except ConfigInvalid as error:
            # Nobody gains by this, and whoever was revoked stays out.
            log.error("credentials not read", error=str(error), consequence="the credentials read before still count")
            return False
        self._serving.credentials = Credentials(self._first, named)
        log.info("credentials read again", count=len(named))
        return True


def make_identities(config: Config, data: str, clock: Callable[[], float]) -> Identities:
    """As the mode and the settings say. Raises ConfigInvalid."""
    return Identities(DevVerifier(), clock) if config.mode == "dev" else ServeIdentities(config, data, clock)


def check_identity(config: Config, data: str) -> None:
    """Raises ConfigInvalid for settings that no worker could use."""
    list_credentials(data)
    if config.verifies_tokens:
        from meadowlark.server.identity_file import read_identity

        read_identity(config)
