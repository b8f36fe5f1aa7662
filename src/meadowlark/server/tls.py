"""The TLS settings of a server: a certificate chain and its key."""

from __future__ import annotations

import ssl

from meadowlark.errors import ConfigInvalid
from meadowlark.server.config import Config


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
