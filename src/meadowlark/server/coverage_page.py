"""Coverage of rules as a page for people: every rule with its counts, and its parts with the values that they had.

Whatever comes from rules and data is escaped. There are no scripts: a part shows its values while the pointer is on it.
Source: docs/rules.md "Coverage".
"""

from __future__ import annotations

from html import escape
from typing import Any

from meadowlark.rules import Coverage
from meadowlark.rules.coverage import Count
from meadowlark.tree import encode, format_path

HTML_TYPE = "text/html; charset=utf-8"

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Rules of {name}: coverage</title>
<style>
body {{ font: 15px/1.5 sans-serif; margin: 2em; }}
td, th {{ text-align: left; vertical-align: top; padding: .2em 1em .2em 0; }}
code {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
code span {{ border-bottom: 1px dotted; }}
code span:hover {{ background: #fe9; }}
.lacks {{ background: #fdd; }}
code .lacks {{ background: #faa; }}
</style>
<h1>Rules of {name}</h1>
"""
_NO_RULES = "<p>This database has no rules, so nothing was counted.\n"
_TABLE = "<table>\n<tr><th>line<th>rule<th>at<th>true<th>false<th>errors<th>expression\n"


def coverage_page(name: str, coverage: Coverage | None) -> str:
    head = _HEAD.format(name=escape(name))
    if coverage is None:
        return head + _NO_RULES
    lacking = len(coverage.missing())
    told = f"<p>{len(coverage.counts)} rules; of {lacking} an outcome has not been seen since the rules were set.\n"
    return head + told + _TABLE + "".join([_row(count) for count in coverage.counts.values()]) + "</table>\n"


def _row(count: Count) -> str:
    rule, lack = count.rule, count.lack()
    marked = "" if lack is None else f' class="lacks" title="{lack}"'
    where = f"<tr{marked}><td>{rule.line}:{rule.column}<td>.{rule.kind}<td>{escape(format_path(rule.path))}"
    return f"{where}<td>{count.true}<td>{count.false}<td>{count.failed}<td><code>{_expression(count)}</code>\n"


def _expression(count: Count) -> str:
    """The rule's text, with each part that was seen, or not, in a span. Parts lie in each other or apart."""
    text, at = count.rule.text, 0
    written: list[str] = []
    open_until: list[int] = []

    def write_up_to(end: int) -> None:
        nonlocal at
        written.append(escape(text[at:end]))
        at = end

    titles = {place: (_title(values), "") for place, values in count.seen.items()}
    for start, end, lack in count.lacks():
        titles[start, end] = "\n".join([lack, *([titles[start, end][0]] if (start, end) in titles else [])]), ' class="lacks"'
    for (start, end), (title, mark) in sorted(titles.items(), key=lambda item: (item[0][0], -item[0][1])):
        while open_until and open_until[-1] <= start:
            write_up_to(open_until.pop())
            written.append("</span>")
        write_up_to(start)
        written.append(f'<span{mark} title="{escape(title)}">')
        open_until.append(end)
    while open_until:
        write_up_to(open_until.pop())
        written.append("</span>")
    write_up_to(len(text))
    return "".join(written)


def _title(values: dict[tuple[str, Any], int]) -> str:
    return "\n".join([f"{count} times {encode(value).decode()}" for (_, value), count in values.items()])
