"""Volatile writes on the realtime session: with a number they are answered, without one they are not."""

from __future__ import annotations

from meadowlark.engine import Client, commands
from meadowlark.errors import Code
from meadowlark.wire import Answer, Outcome, Session
from meadowlark.wire.realtime import State

CLIENT = Client("1")


def received(text: bytes) -> tuple[Session, list[Outcome]]:
    session, events = Session(CLIENT, "h"), list[Outcome]()
    session.receive(text, events)
    return session, events


def test_without_a_number_it_asks_for_no_answer() -> None:
    session, events = received(b'{"t":"d","d":{"a":"v","b":{"p":"/a/b","d":[1,2]}}}')
    assert events == [commands.Set(CLIENT, None, ("a", "b"), [1, 2], volatile=True)]
    assert session.state is State.OPEN


def test_what_makes_no_sense_is_counted_and_answered_with_nothing() -> None:
    for body in (b'{"p":"/a"}', b'{"p":"/a.b","d":1}', b"null"):
        session, events = received(b'{"t":"d","d":{"a":"v","b":%b}}' % body)
        assert [(event.frame, event.code is not None) for event in events if isinstance(event, Answer)] == [(b"", True)]
        assert session.state is State.OPEN
    assert events[0] == Answer(b"", Code.INVALID_REQUEST, "the request is incomplete: expected a value in 'd' of its body")


def test_other_actions_need_a_number() -> None:
    session, _ = received(b'{"t":"d","d":{"a":"p","b":{"p":"/a","d":1}}}')
    assert session.state is State.CLOSED
