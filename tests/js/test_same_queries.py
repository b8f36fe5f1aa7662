"""The conformance tests of queries, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_queries import *  # noqa: F403
