"""TLS for clients that read and write one connection in two threads, which OpenSSL does not allow.

With TLS 1.3 the tickets that follow the handshake made the first request of such a client vanish once in a thousand times, on a
busy machine more often. So one thread does all that is TLS, and the client has a plain socket.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading

SECONDS = 60.0


def secured(connection: socket.socket, context: ssl.SSLContext, name: str) -> socket.socket:
    """What is written to it goes to the server that `connection` leads to, encrypted, and what comes from there is read from it.
    Raises what the handshake does."""
    secure = context.wrap_socket(connection, server_hostname=name)
    ours, theirs = socket.socketpair()
    threading.Thread(target=_relay, args=(secure, theirs), daemon=True).start()
    return ours


def _relay(secure: ssl.SSLSocket, plain: socket.socket) -> None:
    """Until either end is closed; then both are."""
    with contextlib.suppress(OSError), secure, plain, selectors.DefaultSelector() as selector:
        for side in (secure, plain):
            selector.register(side, selectors.EVENT_READ)
        while True:
            ready = [secure] if secure.pending() else [key.fileobj for key, _ in selector.select()]
            if secure in ready:
                secure.setblocking(False)  # What came may be no data of the server, and what it is to answer waits for us.
                with contextlib.suppress(ssl.SSLWantReadError):
                    if not (piece := secure.recv(65_536)):
                        return
                    plain.sendall(piece)
            if plain in ready:
                if not (piece := plain.recv(65_536)):
                    return
                secure.settimeout(SECONDS)
                secure.sendall(piece)
