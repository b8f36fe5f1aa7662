"""Certificates that change while the server runs: those of files, for both transports, and the one that `dev` makes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from qh3.asyncio.client import connect
from qh3.quic.configuration import QuicConfiguration

from meadowlark.client import Database
from meadowlark.client.connection import Address
from meadowlark.client.webtransport import TransportConnection, _certificate, connect_transport, find_offer
from meadowlark.server.tls import CertificateFiles
from meadowlark.server.webtransport import CERTIFICATE_SECONDS
from tests.conformance.certificates import make_certificate, make_chain
from tests.harness import Server, eventually
from tests.server.rest_server import MemoryWorker
from tests.server.test_quic import Client

SECONDS = 60.0


def replace(folder: Path, other: Path) -> None:
    """As certbot does: one file after the other, each at once."""
    for name in ("key.pem", "certificate.pem"):
        (other / name).rename(folder / name)


def shown_over_tcp(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw, context.wrap_socket(raw) as secured:
        shown = secured.getpeercert(binary_form=True)
    assert shown
    return shown


def der(folder: Path) -> bytes:
    """The first of the chain."""
    text, end, _ = (folder / "certificate.pem").read_text().partition("-----END CERTIFICATE-----\n")
    return ssl.PEM_cert_to_DER_cert(text + end)


def test_a_certificate_in_files_serves_both_and_so_does_the_next_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meadowlark.client.database.TRANSPORT_SECONDS", 20.0)
    first, second = tmp_path / "first", tmp_path / "second"
    trusts = []
    for folder in (first, second):
        folder.mkdir()
        _, _, authority = make_chain(folder, "localhost", "127.0.0.1")
        trusts.append(ssl.create_default_context(cafile=str(authority)))
    before, after = der(first), der(second)
    trust, trust_next = trusts
    arguments = ("--tls-certificate", str(first / "certificate.pem"), "--tls-key", str(first / "key.pem"), "--webtransport")

    async def work(server: Server) -> None:
        url = f"https://localhost:{server.port}?ns=renewed"

        def shown_to(database: Any) -> bytes:
            connection = database._connection
            assert isinstance(connection, TransportConnection)
            assert connection._quic is not None
            return _certificate(connection._quic._quic)

        async with asyncio.timeout(SECONDS), Database(url, tls=trust, transports=("webtransport",)) as old:
            await old.ref("a").set(1)
            assert shown_to(old) == before, "the one that is configured, and verified, not dev's"
            assert shown_over_tcp(server.port) == before
            replace(first, second)
            await asyncio.to_thread(eventually, lambda: shown_over_tcp(server.port) == after, what="the new certificate")
            async with Database(url, tls=trust_next, transports=("webtransport",)) as new:
                await new.ref("a").set(2)
                assert shown_to(new) == after
                await old.ref("a").set(3)
                assert shown_to(old) == before, "who is connected stays so"

    with Server(tmp_path / "data", arguments=arguments) as server:
        server.certificate = first / "certificate.pem"
        asyncio.run(work(server))


@pytest.mark.parametrize(("host", "names"), [("localhost", ("elsewhere.test",)), ("127.0.0.1", ("elsewhere.test", "127.0.0.2"))])
def test_a_certificate_of_another_name_is_not_believed(tmp_path: Path, host: str, names: tuple[str, ...]) -> None:
    """Whoever has one that the same authority signed is not the server; nor if the server is asked for by its address."""
    chain, key, authority = make_chain(tmp_path, *names)
    trust = ssl.create_default_context(cafile=str(authority))
    trust.check_hostname = False  # So that the offer, over TCP, is not what is refused.

    async def work(server: Server) -> None:
        offer = await find_offer(Address(f"{host}:{server.port}", "named", True), trust)
        assert offer is not None
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(
                connect_transport(offer, None, trust, lambda said: None, lambda reason: None, lambda: None),
                SECONDS,
            )

    arguments = ("--tls-certificate", str(chain), "--tls-key", str(key), "--webtransport")
    with Server(tmp_path / "data", arguments=arguments) as server:
        server.certificate = authority
        asyncio.run(work(server))


def test_files_that_do_not_fit_are_not_used_and_looked_at_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        make_certificate(folder, "localhost")
    certificate, key = first / "certificate.pem", first / "key.pem"
    config: Any = SimpleNamespace(tls_certificate=str(certificate), tls_key=str(key))
    files = CertificateFiles(config)
    assert files.renewed() is None
    (second / "key.pem").rename(key)
    assert files.renewed() is None, "the key is of another certificate"
    assert files.renewed() is None
    certificate.unlink()
    assert files.renewed() is None
    (second / "certificate.pem").rename(certificate)
    assert files.renewed() is not None
    assert files.renewed() is None, "told once"
    os.utime(certificate, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert files.renewed() is not None
    assert CertificateFiles(SimpleNamespace(tls_certificate="", tls_key="")).renewed() is None  # type: ignore[arg-type]


def test_dev_makes_another_one_before_the_first_ends_and_tells_its_hash() -> None:
    async def work() -> None:
        worker = MemoryWorker()
        transports = worker.webtransports
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transports.open([listener])
            first = await transports.offer("127.0.0.1:1", "demo")
            assert await transports.offer("127.0.0.1:1", "demo") == first
            assert await digest_at(first) in json.dumps(first["hashes"])
            transports._made_at -= CERTIFICATE_SECONDS - 5
            assert await transports.offer("127.0.0.1:1", "demo") == first, "not yet"
            transports._made_at -= 10
            second = await transports.offer("127.0.0.1:1", "demo")
            assert second["url"] == first["url"]
            assert second["hashes"] != first["hashes"]
            assert await digest_at(second) in json.dumps(second["hashes"])
        transports.close()

    async def digest_at(offer: dict[str, Any]) -> str:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
        port = urlsplit(offer["url"]).port or 0
        async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as one:
            tls: Any = one._quic.tls
            return base64.b64encode(hashlib.sha256(bytes(tls.peer_certificate.public_bytes())).digest()).decode()

    asyncio.run(asyncio.wait_for(work(), SECONDS))
