"""What a client has to say and its connection has not taken yet, in its order; of each volatile value only the last.

While the connection takes what it is given, nothing waits here for longer than a turn of the loop. While it does not, a volatile
value that is written again takes the place of the one before, at the end of the queue: what is said late is as new as can be, and
however long that takes, there is one value for each path. More paths than a server keeps for one connection are not taken.
What is not volatile is kept whole; how much of that may wait is the core's business.
Does not know: connections, what the frames say.
"""

from __future__ import annotations

from collections import OrderedDict

from meadowlark.limits import SESSION_VOLATILE_VALUES_MAX


class Outgoing:
    """Of one client, for its present link."""

    __slots__ = ("_count", "_said", "_volatile_count", "superseded_count")

    def __init__(self) -> None:
        self._said: OrderedDict[str | int, list[bytes]] = OrderedDict()
        """The frames of each message: of a volatile value by its path, of others by a number."""
        self._count = 0
        self._volatile_count = 0
        self.superseded_count = 0
        """Volatile values that were never said, since a newer one came first."""

    def __bool__(self) -> bool:
        return bool(self._said)

    def say(self, frames: list[bytes]) -> None:
        self._count += 1
        self._said[self._count] = frames

    def say_volatile(self, path: str, frames: list[bytes]) -> bool:
        """Whether it is taken."""
        if self._said.pop(path, None) is not None:
            self.superseded_count += 1
        elif self._volatile_count == SESSION_VOLATILE_VALUES_MAX:
            return False
        else:
            self._volatile_count += 1
        self._said[path] = frames
        return True

    def take(self) -> list[bytes]:
        """The frames of the first message, which leaves now; none where nothing waits."""
        if not self._said:
            return []
        key, frames = self._said.popitem(last=False)
        if type(key) is str:
            self._volatile_count -= 1
        return frames

    def take_all(self) -> list[bytes]:
        frames: list[bytes] = []
        while self._said:
            frames += self.take()
        return frames

    def clear(self) -> None:
        self._said.clear()
        self._volatile_count = 0
