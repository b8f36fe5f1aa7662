"""The conformance tests of reconnect, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_reconnect import *  # noqa: F403
