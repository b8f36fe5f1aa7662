"""The security language: rule sets are parsed, checked and compiled, then decide who may read and write, and say why."""

from meadowlark.rules.asked import query_values
from meadowlark.rules.coverage import Coverage
from meadowlark.rules.decide import Writing, decide_slices, may_read, may_write, place_slices
from meadowlark.rules.explain import Explanation, explain_read, explain_slices, explain_write
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
    "Writing",
    "decide_slices",
    "explain_read",
    "explain_slices",
    "explain_write",
    "may_read",
    "may_write",
    "parse_rules",
    "place_slices",
    "query_values",
]
