"""The security language: rule sets are parsed, checked and compiled, then decide who may read and write, and say why."""

from meadowlark.rules.asked import query_values
from meadowlark.rules.coverage import Coverage
from meadowlark.rules.decide import may_read, may_write, validate_ahead
from meadowlark.rules.explain import Explanation, explain_read, explain_write
from meadowlark.rules.faults import Fault, RulesInvalid
from meadowlark.rules.ruleset import RuleSet, parse_rules
from meadowlark.rules.views import Write

__all__ = [
    "Coverage",
    "Explanation",
    "Fault",
    "RuleSet",
    "RulesInvalid",
    "Write",
    "explain_read",
    "explain_write",
    "may_read",
    "may_write",
    "parse_rules",
    "query_values",
    "validate_ahead",
]
