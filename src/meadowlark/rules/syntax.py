"""A rule as a tree: what its parts are, and the parser that makes it of words.

The grammar is that of JavaScript's expressions, less what rules do not have. Chains of one level (`a && b && c`, `a + b - c`) are
one part, so long ones are not deep; what does nest may nest EXPRESSION_DEPTH_MAX levels, and whoever walks the tree may recurse.
Every part has its places in the rule's text, and the type that the checker (types.py) finds.
Source: docs/rules.md "Expressions".
"""

from __future__ import annotations

from collections.abc import Iterator

from meadowlark.limits import EXPRESSION_DEPTH_MAX
from meadowlark.rules.lexer import SyntaxFault, Word, words

LEVELS: tuple[frozenset[str], ...] = (
    frozenset(["||"]),
    frozenset(["&&"]),
    frozenset(["==", "!=", "===", "!=="]),
    frozenset(["<", ">", "<=", ">="]),
    frozenset(["+", "-"]),
    frozenset(["*", "/", "%"]),
)
"""Binary operators, the loosest first. `?:` is looser than all, `!`, unary `-` and what follows an operand tighter."""

_KNOWN = frozenset().union(*LEVELS, ["(", ")", "[", "]", ".", ",", "?", ":", "!", ";"])
_RESERVED = frozenset(
    [
        "break", "case", "catch", "class", "const", "continue", "debugger", "default", "do", "else", "enum", "export", "extends",
        "finally", "for", "function", "if", "import", "return", "super", "switch", "this", "throw", "try", "var", "while", "with",
    ]
)  # fmt: skip


class Part:
    """A node of the tree."""

    __slots__ = ("at", "depth", "end", "start", "type")

    def __init__(self, at: int, *inner: Part) -> None:
        self.at = at
        """Where what makes it this part stands: for a member its name."""
        self.start = at
        """Where it begins."""
        self.end = at
        """Where it ends. Brackets around it belong to it."""
        self.depth: int = 1 + max([part.depth for part in inner], default=0)
        self.type = ""
        if self.depth > EXPRESSION_DEPTH_MAX:
            raise SyntaxFault(f"the expression nests more than {EXPRESSION_DEPTH_MAX} levels", at)


class Literal(Part):
    __slots__ = ("value",)

    def __init__(self, at: int, value: float | str | bool | None) -> None:
        super().__init__(at)
        self.value = value


class Regex(Part):
    __slots__ = ("body", "flags", "pattern")

    def __init__(self, at: int, body: str, flags: str) -> None:
        super().__init__(at)
        self.body = body
        self.flags = flags
        self.pattern: object = None
        """Made by the checker."""


class Variable(Part):
    __slots__ = ("name",)

    def __init__(self, at: int, name: str) -> None:
        super().__init__(at)
        self.name = name


class Member(Part):
    """`owner.name`, or `owner[key]`. A literal string as `key` is a name too."""

    __slots__ = ("key", "name", "owner")

    def __init__(self, at: int, owner: Part, name: str | None, key: Part | None) -> None:
        super().__init__(at, *([owner] if key is None else [owner, key]))
        self.start = owner.start
        self.owner = owner
        self.name = key.value if isinstance(key, Literal) and isinstance(key.value, str) else name
        self.key = key


class Call(Part):
    __slots__ = ("arguments", "callee")

    def __init__(self, at: int, callee: Part, arguments: list[Part]) -> None:
        super().__init__(at, callee, *arguments)
        self.start = callee.start
        self.callee = callee
        self.arguments = arguments


class Unary(Part):
    __slots__ = ("operand", "operator")

    def __init__(self, at: int, operator: str, operand: Part) -> None:
        super().__init__(at, operand)
        self.end = operand.end
        self.operator = operator
        self.operand = operand


class Chain(Part):
    """`operands[0] operators[0] operands[1] …`, of one level, from left to right; at least two operands."""

    __slots__ = ("operands", "operators")

    def __init__(self, operands: list[Part], operators: list[str]) -> None:
        super().__init__(operands[0].start, *operands)
        self.end = operands[-1].end
        self.operands = operands
        self.operators = operators


class Ternary(Part):
    __slots__ = ("condition", "no", "yes")

    def __init__(self, condition: Part, yes: Part, no: Part) -> None:
        super().__init__(condition.start, condition, yes, no)
        self.end = no.end
        self.condition = condition
        self.yes = yes
        self.no = no


class List(Part):
    __slots__ = ("items",)

    def __init__(self, at: int, items: list[Part]) -> None:
        super().__init__(at, *items)
        self.items = items


def inner_parts(part: Part) -> list[Part]:
    """What `part` is directly made of."""
    if isinstance(part, Member):
        return [part.owner] if part.key is None else [part.owner, part.key]
    if isinstance(part, Call):
        return [part.callee, *part.arguments]
    if isinstance(part, Unary):
        return [part.operand]
    if isinstance(part, Chain):
        return part.operands
    if isinstance(part, Ternary):
        return [part.condition, part.yes, part.no]
    return part.items if isinstance(part, List) else []


def all_parts(part: Part) -> Iterator[Part]:
    """`part` and all within it."""
    todo = [part]
    while todo:
        top = todo.pop()
        yield top
        todo.extend(inner_parts(top))


def parse_expression(text: str) -> Part:
    """The expression in `text`. Raises SyntaxFault."""
    return _Parser(words(text)).parse_whole()


class _Parser:
    __slots__ = ("_depth", "_end", "_index", "_word", "_words")

    def __init__(self, found: list[Word]) -> None:
        self._words = found
        self._index = 0
        self._word = found[0]
        self._end = 0
        """Of the last word taken."""
        self._depth = 0

    def parse_whole(self) -> Part:
        expression = self._expression()
        if self._is(";"):
            self._advance()
        if self._word.kind != "end":
            self._refuse_operator()
            raise SyntaxFault("missing ; before statement", self._word.at)
        return expression

    def _advance(self) -> Word:
        word = self._word
        self._end = word.end
        self._index += 1
        if word.kind != "end":
            self._word = self._words[self._index]
        return word

    def _is(self, operator: str) -> bool:
        return self._word.kind == "operator" and self._word.value == operator

    def _expect(self, operator: str, message: str) -> None:
        if not self._is(operator):
            self._refuse_operator()
            raise SyntaxFault(message, self._word.at)
        self._advance()

    def _refuse_operator(self) -> None:
        if self._word.kind == "operator" and self._word.value not in _KNOWN:
            raise SyntaxFault(f"Rule expressions may not contain operator '{self._word.value}'.", self._word.at)

    def _expression(self) -> Part:
        self._depth += 1
        if self._depth > EXPRESSION_DEPTH_MAX:
            raise SyntaxFault(f"the expression nests more than {EXPRESSION_DEPTH_MAX} levels", self._word.at)
        made = self._chain()
        if self._is("?"):
            self._advance()
            yes = self._expression()
            self._expect(":", "missing : in conditional expression")
            made = Ternary(made, yes, self._expression())
        self._depth -= 1
        return made

    def _chain(self) -> Part:
        """Operands and binary operators, the tighter ones gathered first: by a stack of unfinished chains, one a level at most,
        rather than by a call for each level, so that an operand in brackets costs four calls and not nine."""
        open_chains: list[tuple[int, list[Part], list[str]]] = []
        made = self._operand()
        while True:
            level = self._level_of_operator()
            while open_chains and open_chains[-1][0] > level:
                _, operands, operators = open_chains.pop()
                made = Chain([*operands, made], operators)
            if level < 0:
                return made
            if open_chains and open_chains[-1][0] == level:
                open_chains[-1][1].append(made)
                open_chains[-1][2].append(str(self._advance().value))
            else:
                open_chains.append((level, [made], [str(self._advance().value)]))
            made = self._operand()

    def _level_of_operator(self) -> int:
        if self._word.kind == "operator":
            for level, operators in enumerate(LEVELS):
                if self._word.value in operators:
                    return level
        return -1

    def _operand(self) -> Part:
        prefixes: list[Word] = []
        while self._is("!") or self._is("-"):
            prefixes.append(self._advance())
        made = self._postfix(self._primary())
        for prefix in reversed(prefixes):
            made = Unary(prefix.at, str(prefix.value), made)
        return made

    def _primary(self) -> Part:
        word = self._advance()
        value = word.value
        if word.kind == "number" or word.kind == "string":
            assert not isinstance(value, tuple)
            return Literal(word.at, value)
        if word.kind == "regex":
            assert isinstance(value, tuple)
            return Regex(word.at, *value)
        if word.kind == "name" and value not in _RESERVED:
            constants = {"true": True, "false": False, "null": None}
            name = str(value)
            return Literal(word.at, constants[name]) if name in constants else Variable(word.at, name)
        if word.kind == "operator":
            if value == "(":
                made = self._expression()
                self._expect(")", "missing ) in parenthetical")
                made.start = word.at
                return made
            if value == "[":
                return List(word.at, self._items("]", "missing ] after element list", trailing=True))
            if value not in _KNOWN or value == "+":
                raise SyntaxFault(f"Rule expressions may not contain operator '{value}'.", word.at)
        raise SyntaxFault("syntax error", word.at)

    def _postfix(self, made: Part) -> Part:
        while True:
            made.end = self._end
            if self._is("."):
                self._advance()
                if self._word.kind != "name":
                    raise SyntaxFault("missing name after . operator", self._word.at)
                word = self._advance()
                made = Member(word.at, made, str(word.value), None)
            elif self._is("["):
                at = self._advance().at
                key = self._expression()
                self._expect("]", "missing ] in index expression")
                made = Member(at, made, None, key)
            elif self._is("("):
                at = self._advance().at
                made = Call(at, made, self._items(")", "missing ) after argument list"))
            else:
                return made

    def _items(self, end: str, message: str, *, trailing: bool = False) -> list[Part]:
        items: list[Part] = []
        while not self._is(end) or (items and not trailing):
            items.append(self._expression())
            if not self._is(","):
                break
            self._advance()
        self._expect(end, message)
        return items
