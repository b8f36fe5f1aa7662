"""What does it cost to know who shows a credential?

    PYTHONPATH=src python bench/tokens.py

Prints microseconds of processor time for a credential that is met for the first time and one that is remembered, the best of many
rounds, and what loading the verification of tokens takes in a process of its own. What it does not show: fetching keys, and
cold caches.
"""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meadowlark.auth.credentials import Credentials
from meadowlark.auth.issuers import FIREBASE_ISSUER, Issuer, Issuers, Secret, TokenKey
from meadowlark.auth.keyring import KeyRing
from meadowlark.auth.keys import read_pem, secret_key
from meadowlark.auth.minting import claims_for
from meadowlark.auth.verifier import ServeVerifier
from meadowlark.errors import Refused

ROUNDS = 50
NOW = 1_764_000_000.0
PROJECT = "my-project"
SECRET = b"a-database-secret-of-forty-characters-ok"
ADMIN = "a-credential-of-an-administrator"

_LOADING = """
import resource, time
from meadowlark.server import identities
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
from meadowlark.server import identity_file, key_fetcher
took, more = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(f"{took * 1000:.0f} ms, {more / 1024:.0f} MiB")
"""


def main() -> None:
    gc.disable()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    google, backend = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    ring = KeyRing({"g": read_pem("g", _public(google), ["RS256"])})
    issuer = Issuer(FIREBASE_ISSUER + PROJECT, frozenset([PROJECT]), frozenset(["RS256"]), ring)
    own = TokenKey(read_pem("backend", _public(backend), ["ES256"]))
    verifier = ServeVerifier(Credentials(ADMIN), Issuers([issuer], [own], [Secret(secret_key("old", SECRET))]))
    claims = claims_for("alice", {"email": "alice@shop.example", "tier": "gold"}, now=NOW, seconds=3600, project=PROJECT)
    tokens = {
        "an ID token, RS256": jwt.encode(claims, google, "RS256", {"kid": "g"}),
        "a token of an own key, ES256": jwt.encode({"sub": "a", "exp": NOW + 60}, backend, "ES256", {"kid": "backend"}),
        "a legacy token, HS256": jwt.encode({"v": 0, "iat": NOW, "d": {"uid": "a"}}, SECRET, "HS256"),
    }
    for name, token in tokens.items():
        show(f"{name}: the first time", lambda token=token: _forget_and_verify(verifier, token))
        show(f"{name}: remembered", lambda token=token: verifier.verify(token, "auth", "shop", NOW), calls=1000)
    forged = tokens["an ID token, RS256"][:-8] + "AAAAAAAA"
    show("an ID token with a wrong signature", lambda: _refuse(verifier, forged))
    show("an admin credential", lambda: verifier.verify(ADMIN, "rest", "shop", NOW), calls=1000)
    made = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, timeout=60, check=True)
    print(f"{'loading what verifies tokens':48} {made.stdout.strip()}")


def show(name: str, call: Callable[[], Any], *, calls: int = 100) -> None:
    best = min(timeit.repeat(call, timer=time.process_time, number=calls, repeat=ROUNDS)) / calls
    print(f"{name:48} {best * 1e6:8.1f} µs")


def _forget_and_verify(verifier: ServeVerifier, token: str) -> None:
    verifier._verified.clear()
    verifier.verify(token, "auth", "shop", NOW)


def _refuse(verifier: ServeVerifier, token: str) -> None:
    try:
        verifier.verify(token, "auth", "shop", NOW)
    except Refused:
        return
    raise AssertionError("a wrong signature was believed")


def _public(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


if __name__ == "__main__":
    main()
