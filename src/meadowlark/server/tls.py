"""The TLS settings of a server: a certificate chain and its key.

Their files are looked at again and again, since who renews a certificate writes them while the server runs. A context is never
changed, because two files are not written at once: of a new pair that fits a new context is made, for connections from then on.
"""

from __future__ import annotations

import ssl

import structlog

from meadowlark.errors import ConfigInvalid
from meadowlark.server.config import Config
from meadowlark.server.stamps import Stamp, stamp_of

log = structlog.get_logger()


def make_context(config: Config) -> ssl.SSLContext | None:
    """The context for connections, or None when no certificate is configured. Raises ConfigInvalid."""
    if not config.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(
            f"the TLS certificate {config.tls_certificate} with key {config.tls_key or '(in the same file)'} "
            f"cannot be used: {error}"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


class CertificateFiles:
    """Those that a server is configured with."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._seen = self._look()

    def renewed(self) -> ssl.SSLContext | None:
        """A context of what stands in the files, if that is new since the last call and can be used."""
        if not self._config.tls_certificate:
            return None
        seen = self._look()
        if seen == self._seen or not all(seen):
            return None  # Nothing is new, or one of them is being replaced.
        self._seen = seen
        try:
            context = make_context(self._config)
        except ConfigInvalid as error:
            # Perhaps one file is written and the other is not yet: then this comes again.
            log.warning("certificate not renewed", error=str(error))
            return None
        log.info("certificate renewed", file=self._config.tls_certificate)
        return context

    def _look(self) -> list[Stamp | None]:
        return [stamp_of(name) for name in (self._config.tls_certificate, self._config.tls_key) if name]
