"""The conformance tests of presence, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_presence import *  # noqa: F403

# These look into the SDK: which host it keeps, how soon it notices.
del test_info_tells_of_the_connection_and_the_clock  # noqa: F821
