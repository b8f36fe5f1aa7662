"""The conformance tests of transactions, event by event the same with our client in the place of Firebase's."""

from tests.conformance.test_transactions import *  # noqa: F403

# Ours waits for the server's word instead of guessing null first, which surprises everybody once (docs/clients.md).
del test_on_a_value_never_seen_it_starts_from_null_and_is_corrected  # noqa: F821
