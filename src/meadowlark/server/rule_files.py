"""Rules as files on an operator's or a developer's machine: read, checked, linted and tried, without a server.

Trial files are JSON with comments, as rules are, or YAML where PyYAML is installed.
Source: docs/rules.md "Testing rules", "Linting".
"""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec

from meadowlark.errors import ConfigInvalid, Refused
from meadowlark.rules import Coverage, RuleSet, RulesInvalid, parse_rules
from meadowlark.rules.document import parse_document, plain
from meadowlark.rules.faults import Source
from meadowlark.rules.trials import Outcome, Trials, parse_trials, try_all


def read_text(file: str) -> str:
    """The text of a file. Raises ConfigInvalid."""
    try:
        with open(file, encoding="utf-8") as source:
            return source.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{file} cannot be read: {error}") from error


def read_rules(file: str) -> RuleSet:
    """The rule set in a file. Raises ConfigInvalid with every fault, each as `FILE:LINE:COLUMN: message`."""
    try:
        return parse_rules(read_text(file))
    except RulesInvalid as invalid:
        lines = "\n".join(f"{file}:{fault}" for fault in invalid.faults)
        raise ConfigInvalid(f"the rules cannot be used\n{lines}") from None


def read_trials(file: str, rules_file: str | None) -> tuple[RuleSet, Trials]:
    """The trials in a file and the rules that they try: those of `rules_file`, or those that the file has or names."""
    try:
        trials = parse_trials(_read_raw(file))
    except (msgspec.ValidationError, RulesInvalid) as error:
        raise ConfigInvalid(f"{file} has no trials of rules: {error}") from None
    if rules_file is not None:
        return read_rules(rules_file), trials
    if isinstance(trials.rules, str):
        return read_rules(os.path.join(os.path.dirname(file), trials.rules)), trials
    if trials.rules is None:
        raise ConfigInvalid(f"{file} has no 'rules': give them there, whole or by the name of their file, or with --rules")
    text = json.dumps(trials.rules if "rules" in trials.rules else {"rules": trials.rules}, indent=2)
    try:
        return parse_rules(text), trials
    except RulesInvalid as invalid:
        raise ConfigInvalid(f"the rules in {file} cannot be used, counted in them alone\n{invalid}") from None


def try_file(file: str, rules_file: str | None) -> tuple[list[Outcome], Coverage]:
    """What came of every case of a trial file. Raises ConfigInvalid."""
    rules, trials = read_trials(file, rules_file)
    try:
        return try_all(rules, trials)
    except Refused as refused:
        raise ConfigInvalid(f"the data in {file} cannot be any database's: {refused.text}") from None


def _read_raw(file: str) -> Any:
    text = read_text(file)
    if not file.endswith((".yaml", ".yml")):
        return _whole_numbers(plain(parse_document(Source(text))))
    try:
        import yaml  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise ConfigInvalid(f"{file} is YAML, which needs PyYAML: pip install pyyaml, or write the file as JSON") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"{file} is not YAML: {error}") from None


def _whole_numbers(raw: Any) -> Any:
    """The documents of rules have doubles only; times and counts are whole."""
    if isinstance(raw, dict):
        return {key: _whole_numbers(inner) for key, inner in raw.items()}
    if isinstance(raw, list):
        return [_whole_numbers(inner) for inner in raw]
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw
