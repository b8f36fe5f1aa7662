"""The conformance tests of volatile values with our client, which can also ask for them."""

from tests.conformance.test_volatile import test_the_sdk_writes_volatile_values_where_a_rule_says_so

__all__ = ["test_the_sdk_writes_volatile_values_where_a_rule_says_so"]
