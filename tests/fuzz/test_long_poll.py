"""Long polls against bytes of any kind: nothing raises but what the contract says, and nothing is kept beyond its bound."""

from __future__ import annotations

import base64
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from meadowlark.errors import Refused
from meadowlark.limits import LONG_POLL_EARLY_PIECES_MAX
from meadowlark.wire import Session, text_frames
from meadowlark.wire.long_poll import Piece, Upstream, find_control, parse_long_poll
from meadowlark.wire.scripts import Unframer, script
from meadowlark.wire.targets import parse_target
from tests.wire.test_realtime import CLIENT

NAMES = ["start", "t", "id", "pw", "ser", "cb", "ls", "seg0", "ts0", "d0", "seg1", "ts1", "d1", "disconn", "dframe"]
WORDS = st.sampled_from(NAMES)
TEXTS = st.text(alphabet="0123456789abc-_.=&%<;\"'é", max_size=12)
BASE64 = st.binary(max_size=30).map(lambda data: base64.b64encode(data, b"-_").decode().replace("=", "."))
PIECES = st.builds(Piece, st.integers(0, LONG_POLL_EARLY_PIECES_MAX + 2), st.integers(0, 3), st.one_of(BASE64, TEXTS))


@given(st.dictionaries(WORDS, TEXTS, max_size=10))
def test_any_parameters_are_a_request_or_refused(parameters):
    with contextlib.suppress(Refused):
        parse_long_poll(parameters)


@given(TEXTS)
def test_any_query_is_a_request_or_refused(query):
    with contextlib.suppress(Refused):
        parse_long_poll(parse_target("/.lp?" + query).parameters)


@given(st.lists(st.lists(PIECES, max_size=6), max_size=12))
def test_any_pieces_leave_a_session_that_is_open_or_says_why(batches):
    upstream, session = Upstream(), Session(CLIENT, "h")
    for batch in batches:
        frames: list[bytes] = []
        upstream.receive(batch, frames)
        assert len(upstream._early) <= LONG_POLL_EARLY_PIECES_MAX
        for frame in frames:
            session.receive(frame, [])
    assert session.reason or session.state.name == "OPEN"


@given(st.binary(max_size=60))
def test_any_frame_is_a_control_message_or_not(payload):
    assert find_control(payload) is None or payload


@given(st.lists(st.integers(7, 70_000), min_size=1, max_size=5))
def test_messages_of_any_sizes_come_out_of_their_frames(sizes):
    written = [b'"' + b"x" * (size - 2) + b'"' for size in sizes]
    unframer, messages = Unframer(), []
    unframer.receive(b"".join(map(text_frames, written)), messages)
    assert [b"".join(message) for message in messages] == written
    body = script(b"", 3, messages).body
    text = body if isinstance(body, bytes) else b"".join(body)
    assert text == b"pRTLPCB(3,[" + b",".join(written) + b"]);\n"
