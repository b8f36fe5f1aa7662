"""The conformance tests of writes, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_writes import *  # noqa: F403
