"""The conformance tests of children, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_children import *  # noqa: F403
