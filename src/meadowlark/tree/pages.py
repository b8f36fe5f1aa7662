"""A wide or heavy map kept as sorted pages of encoded children: near one byte of memory for one of JSON, where dicts take nine.

`Pages` stands where a dict would, as a node. Its children lie in the order of their keys in pages of some kilobytes, each a
JSON object in export form. A page that is touched is decoded (about 4 µs a kilobyte) and kept as a dict while it is hot;
a write goes into that dict. Hot pages of all trees of the process wait in one queue of HOT_PAGES_MAX, where those used since
they were last looked at get another round; the others go back to bytes. Whole values are encoded by joining pages.

A light child lies in the bytes of its page. A heavy one, or one with Pages somewhere below it, is kept beside the bytes as
the node it is, so a page is never long and a node in use below is always the same object.

Invariants: what a page holds is `data` with `kept`, or `children` where it is decoded, which alone counts once `data` is None.
Page i has the keys from starts[i] to before starts[i + 1], in key order; starts[0] is "". None is empty but an only one.
A write marks its page before it goes on below: should the page go back to bytes meanwhile, a child with Pages below it is kept
as the node that is being changed, and on the way through a child without them no page is touched.

Frozen views share pages, not dicts: a page that a view may hold is copied, as bytes, before it is changed. `owned` is that of
`Tree`. Does not know: when a map should be one (packing.py), who reads. Source: bench/memory.py; tests/tree/test_pages_model.py.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from json import JSONDecoder
from typing import Any

import orjson

from meadowlark.tree.order import key_order
from meadowlark.tree.paths import PRIORITY
from meadowlark.tree.weight import Weighed, weight_up_to

PAGE_BYTES = 6_144
"""Aimed at. Decoding costs about 25 µs then, and what a page needs beside its bytes is 4 % of them."""
PAGE_BYTES_MAX = 2 * PAGE_BYTES
"""A longer page is cut at its next write; a heavier child is kept beside its page."""
PAGE_BYTES_MIN = PAGE_BYTES // 4
"""A shorter page is joined with its neighbour where removals are noticed."""
HOT_PAGES_MAX = 512
"""Decoded at a time: some 20 MB a worker at most."""

_ALONE = 2
"""References to a page that only a local variable holds, as `sys.getrefcount` counts them."""

_COMINGS_MAX = 32
"""Children that come to a page or go from it before its size is looked at again."""

Children = dict[str, Any]
Owned = set[int] | None

_read_value: Callable[[str, int], tuple[Any, int]] = JSONDecoder().scan_once  # type: ignore[attr-defined]  # not documented
"""The value that begins at an index of a text, and where it ends."""
_PEEK_LENGTH = 512
"""Bytes behind a key in which its value mostly ends."""

_PEEKS_MAX = 4
"""In a row in one page; more cost as much as decoding it."""

_hot: deque[Page] = deque()
"""Decoded pages, those looked at longest ago first."""


_PRIORITY_NAME = b'"%b"' % PRIORITY.encode()


class Page:
    """Neighbouring children of one Pages."""

    __slots__ = ("children", "comings", "data", "is_hot", "is_plain", "is_sorted", "is_used", "kept", "last_size", "written")

    def __init__(self, data: bytes | None, kept: Children | None, children: Children | None = None) -> None:
        self.data = data
        """The light children as JSON; None when `children` is newer."""
        self.kept = kept
        """The other children, as of when `data` was made."""
        self.children = children
        """All children, while the page is hot."""
        self.written: set[str] | None = None
        """Keys of children that may be heavy now, for all that `data` and `kept` said."""
        self.last_size = 0
        """Bytes of `data` when it was last made; only once there is a newer `children`. A number that each page kept from the
        beginning would lie alone in memory that was full of others, and hold it: three bytes for each byte of JSON."""
        self.comings = 0
        """Children that came or went since then."""
        self.is_sorted = True
        """Whether `children` is in key order."""
        self.is_hot = False
        """Whether the page is in the queue of hot pages."""
        self.is_used = False
        """Whether it was used since its last round there."""
        self.is_plain: bool | None = None
        """Whether the plain form of `data` is `data`; None: not known. For export.py."""

    @property
    def size(self) -> int:
        return self.last_size if self.data is None else len(self.data)

    def touch(self) -> Children:
        """All children, to be read; the page is hot from now on."""
        self.is_used = True
        children = self.children
        if children is None:
            children = self.children = self._decode()
            warm(self)
        return children

    def view(self) -> Children:
        """All children in key order, without making the page hot: who reads everything does not come back soon."""
        if self.children is None:
            children = self._decode()
            return children if self.is_sorted else in_order(children)
        if not self.is_sorted:
            self.children = in_order(self.children)
            self.is_sorted = True
        return self.children

    def peek(self, key: str) -> Any:
        """The child at `key`, which there is, found in the bytes; None where that is not sure."""
        data = self.data
        name = b'"%b":' % key.encode("utf-8", "surrogatepass")
        assert data is not None, "a page that is not decoded has bytes"
        at = data.find(name)
        if at < 0 or data.find(name, at + 1) >= 0 or "\\" in key or '"' in key:
            return None  # A key deeper down looks the same, and so may some text if JSON writes the key otherwise.
        start = at + len(name)
        for end in (start + _PEEK_LENGTH, len(data)):
            try:
                return _read_value(data[start:end].decode(), 0)[0]
            except (ValueError, StopIteration):
                continue  # Cut off.
        return None

    def may_have_priorities(self) -> Iterable[Any]:
        """The children of which some may have a priority; all others have none."""
        if self.data is None or _PRIORITY_NAME in self.data:
            return self.view().values()
        return self.kept.values() if self.kept else ()

    def encoded(self) -> bytes:
        """`data`, made anew if need be, with `kept` beside it."""
        if self.data is None:
            light = self.view()
            heavy = {key for key in self.written or () if key in light and is_heavy(light[key])}
            self.kept = {key: child for key, child in light.items() if key in heavy} if heavy else None
            if heavy:
                light = {key: child for key, child in light.items() if key not in heavy}
            self.data = page_bytes(light)
            self.written = self.is_plain = None
            self.comings = 0
        return self.data

    def write(self, key: str) -> None:
        """The children are going to be changed, at `key`."""
        self.touch()
        if self.written is None:
            self.written = set(self.kept) if self.kept else set()
        self.written.add(key)
        if self.data is not None:
            self.last_size = len(self.data)
        self.data = self.kept = None

    def cool(self) -> None:
        """The page is bytes again."""
        if self.children is not None:
            self.encoded()
            self.children = None

    def copy(self) -> Page:
        """A page with the same children, whose dicts are its own."""
        data = self.encoded()
        return Page(data, None if self.kept is None else self.kept.copy())

    def _decode(self) -> Children:
        children: Children = orjson.loads(self.data)  # type: ignore[arg-type]  # Without `children` there is `data`.
        self.is_sorted = not (self.kept and children)
        if self.kept:
            children.update(self.kept)
        return children


def warm(page: Page) -> None:
    """Counts `page`, which is decoded, among the hot ones; others may go back to bytes for it."""
    page.is_used = True
    if not page.is_hot:
        page.is_hot = True
        _hot.append(page)
    while len(_hot) > HOT_PAGES_MAX:
        oldest = _hot.popleft()
        if oldest.is_used and oldest.children is not None:
            oldest.is_used = False
            _hot.append(oldest)
        else:
            oldest.is_hot = False
            oldest.cool()


def page_bytes(light: Children) -> bytes:
    """JSON to be kept: a copy, because what orjson gives holds the room that it was written in, up to five times its length."""
    return bytes(memoryview(orjson.dumps(light)))


def is_heavy(node: Any) -> bool:
    """Whether a child is kept beside the bytes of its page. So is whatever has Pages below it, which weigh more than that."""
    return weight_up_to(node, PAGE_BYTES_MAX) > PAGE_BYTES_MAX


def in_order(children: Children) -> Children:
    """The same in key order."""
    return {key: children[key] for key in sorted(children, key=key_order)}


def is_index(key: str) -> bool:
    """Whether `key` is an array's: 0, or digits without a zero before them."""
    return key.isdecimal() and key.isascii() and (key[0] != "0" or key == "0")


class Pages(Weighed):
    """A map with many children or heavy ones, never empty while it stands in a tree."""

    __slots__ = ("count", "other_count", "pages", "priority", "starts")

    def __init__(self) -> None:
        self.priority: int | float | str | None = None
        self.count = 0
        """Of children."""
        self.other_count = 0
        """Of those whose keys are no array's."""
        self.pages: list[Page] = [Page(b"{}", None)]
        self.starts: list[str] = [""]

    # Reading

    def get(self, key: str) -> Any:
        """The child at `key`, or None; that of `.priority` is the priority."""
        if key == PRIORITY:
            return self.priority
        page = self.pages[bisect_right(self.starts, key_order(key)) - 1]
        if page.children is None and page.kept and key in page.kept:
            return page.kept[key]
        return page.touch().get(key)

    def get_present(self, key: str, order: str) -> Any:
        """The child at `key`, which there is, without decoding the rest of its page, unless that is asked of it again and again.
        order: of the key."""
        global _peeked, _peeks
        page = self.pages[bisect_right(self.starts, order) - 1]
        if page.children is None:
            if page.kept and key in page.kept:
                return page.kept[key]
            if _peeked is not page:
                _peeked, _peeks = page, 0
            _peeks += 1
            if _peeks <= _PEEKS_MAX:
                child = page.peek(key)
                if child is not None:
                    return child
        return page.touch().get(key)

    def items_from(self, order: str) -> Iterator[tuple[str, Any]]:
        """(key, child) in key order, from the first whose order is not below `order`. The first page becomes hot: who asks for a
        place comes back to it."""
        first = bisect_right(self.starts, order) - 1
        self.pages[first].touch()
        items = list(self.pages[first].view().items())
        yield from items[bisect_left(items, order, key=_order_of) :]
        for index in range(first + 1, len(self.pages)):
            yield from self.pages[index].view().items()

    def items_before(self, order: str) -> Iterator[tuple[str, Any]]:
        """(key, child) in key order backwards, from the last whose order is below `order`."""
        last = bisect_left(self.starts, order) - 1
        if last < 0:
            return
        self.pages[last].touch()
        items = list(self.pages[last].view().items())
        yield from reversed(items[: bisect_left(items, order, key=_order_of)])
        for index in range(last - 1, -1, -1):
            yield from reversed(self.pages[index].view().items())

    def count_between(self, low: str, high: str) -> int:
        """About how many keys have orders between `low` and `high`: as many as pages there are on average, at most."""
        pages = bisect_left(self.starts, high) - bisect_right(self.starts, low) + 1
        return max(pages, 0) * self.count // len(self.pages)

    def items(self) -> Iterator[tuple[str, Any]]:
        """(key, child) in key order."""
        for page in self.pages:
            yield from page.view().items()

    def last_key(self) -> str:
        return next(reversed(self.pages[-1].view()))

    def weight_up_to(self, limit: int) -> int:
        """About the bytes of JSON, counted to just past `limit`; always enough to be a heavy child."""
        weight = PAGE_BYTES_MAX + 1
        for page in self.pages:
            if weight > limit:
                break
            weight += page.size
            for child in (page.kept or {}).values():
                weight += weight_up_to(child, limit)
        return weight

    # Writing

    def copy(self) -> Pages:
        """The same map, with the same pages."""
        made = Pages()
        made.priority, made.count, made.other_count = self.priority, self.count, self.other_count
        made.pages, made.starts = self.pages.copy(), self.starts.copy()
        return made

    def open(self, key: str, owned: Owned) -> Any:
        """The child at `key`, which is going to be changed, or None."""
        page = self.pages[self._index(key)]
        if page.kept and key in page.kept:
            return page.kept[key]  # The node itself, wherever the page is.
        if key not in page.touch():
            return None
        return self._write(key, owned).touch()[key]

    def put(self, key: str, node: Any, owned: Owned) -> None:
        page = self._write(key, owned)
        children = page.touch()
        if key not in children:
            self._count(key, 1)
            page.comings += 1
            if page.is_sorted and children and key_order(next(reversed(children))) > key_order(key):
                page.is_sorted = False
        children[key] = node

    def remove(self, key: str, owned: Owned) -> None:
        """Takes out the child at `key`, which there is."""
        page = self._write(key, owned)
        children = page.touch()
        del children[key]
        self._count(key, -1)
        page.comings += 1
        if not children and len(self.pages) > 1:
            index = self._index(key)
            self._replace(index, index + 1, [], owned)

    def _index(self, key: str) -> int:
        return bisect_right(self.starts, key_order(key)) - 1

    def _count(self, key: str, change: int) -> None:
        self.count += change
        if not is_index(key):
            self.other_count += change

    def _write(self, key: str, owned: Owned) -> Page:
        """The page of `key`, to be changed there.

        Its size is looked at before: whoever asks goes on changing what it gets, after which nothing may be encoded.
        """
        index = self._index(key)
        page = self.pages[index]
        if page.comings >= _COMINGS_MAX or page.size > PAGE_BYTES_MAX:
            self._settle(index, owned)
            index = self._index(key)
        page = self._own(index, owned)
        page.write(key)
        return page

    def _own(self, index: int, owned: Owned) -> Page:
        """The page at `index` as one that no view holds."""
        page = self.pages[index]
        if owned is not None and id(page) not in owned:
            page = self.pages[index] = page.copy()
            owned.add(id(page))
        return page

    def _settle(self, index: int, owned: Owned) -> None:
        """Cuts a page that has become long, joins one that has become short."""
        page = self._own(index, owned)
        page.encoded()
        if page.size > PAGE_BYTES_MAX:
            self._cut(index, owned)
        elif page.size < PAGE_BYTES_MIN and len(self.pages) > 1:
            self._join(index if index + 1 < len(self.pages) else index - 1, owned)

    def _cut(self, index: int, owned: Owned) -> None:
        page = self.pages[index]
        items = list(page.view().items())
        length = -(-len(items) // -(-page.size // PAGE_BYTES))
        parts = [dict(items[at : at + length]) for at in range(0, len(items), length)]
        if len(parts) > 1:
            self._replace(index, index + 1, [_page_of(part, page.kept) for part in parts], owned)

    def _join(self, index: int, owned: Owned) -> None:
        first, second = self._own(index, owned), self._own(index + 1, owned)
        if len(first.encoded()) + len(second.encoded()) <= PAGE_BYTES:
            joined = _page_of({**first.view(), **second.view()}, {**(first.kept or {}), **(second.kept or {})})
            self._replace(index, index + 2, [joined], owned)

    def _replace(self, start: int, end: int, pages: list[Page], owned: Owned) -> None:
        """`pages`, which are decoded, stand for those from `start` to before `end`."""
        starts = [key_order(next(iter(page.children or ()))) for page in pages]
        self.pages[start:end] = pages
        self.starts[start:end] = starts
        self.starts[0] = ""
        for page in pages:
            if owned is not None:
                owned.add(id(page))
            warm(page)

    def take_page(self) -> Children:
        """Takes the last page off a map that nobody holds any more: its children, as far as they are nodes that only it held."""
        page = self.pages.pop()
        if sys.getrefcount(page) > _ALONE + page.is_hot:
            return {}  # A frozen view has it too.
        children = page.children or page.kept or {}
        page.children = page.kept = None
        page.data = b"{}"
        return children

    def check(self) -> None:
        """Asserts the invariants, but for those of the children; for tests."""
        assert self.starts[0] == "", "the first page does not begin at the beginning"
        assert len(self.pages) == len(self.starts), "pages and starts differ"
        keys: list[str] = []
        for index, page in enumerate(self.pages):
            orders = [key_order(key) for key in page.view()]
            assert orders or len(self.pages) == 1, "a page is empty"
            assert all(order >= self.starts[index] for order in orders), "a key is before its page"
            assert index + 1 == len(self.starts) or all(order < self.starts[index + 1] for order in orders), "a key is behind it"
            assert page.data is not None or page.children is not None, "a page has nothing"
            assert page.children is None or page.is_hot, "a decoded page is not among the hot ones"
            if page.data is not None and page.children is not None:
                shown = orjson.loads(page.data)
                assert set(page.children) == set(shown) | set(page.kept or ()), "bytes and children of a page differ"
                assert all(page.children[key] == child for key, child in shown.items()), "a write was lost"
            keys += page.view()
        assert keys == sorted(keys, key=key_order), "the order is wrong"
        assert (self.count, self.other_count) == (len(keys), sum(not is_index(key) for key in keys)), "the counts are wrong"


def _order_of(item: tuple[str, Any]) -> str:
    return key_order(item[0])


_peeked: Page | None = None
"""Of which a child was read last, without the others,"""
_peeks = 0
"""and how many in a row."""


def _page_of(children: Children, kept: Children | None) -> Page:
    page = Page(None, None, children)
    page.written = {key for key in kept or () if key in children}
    return page
