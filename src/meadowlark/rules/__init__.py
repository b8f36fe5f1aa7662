"""The security language: rule sets are parsed, checked and compiled, then decide who may read and write."""

from meadowlark.rules.decide import may_read, may_write
from meadowlark.rules.faults import Fault, RulesInvalid
from meadowlark.rules.ruleset import RuleSet, parse_rules
from meadowlark.rules.views import Write

__all__ = ["Fault", "RuleSet", "RulesInvalid", "Write", "may_read", "may_write", "parse_rules"]
