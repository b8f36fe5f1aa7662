"""The wire: protocols as bytes, without I/O. Turns bytes into commands and effects into bytes; knows no sockets."""

from meadowlark.wire.outcomes import Answer, Authenticate, Close, Long, Outcome, SetPace, Switch, Unauthenticate
from meadowlark.wire.pushes import REALTIME, encode_auth_revoked, encode_push, encode_push_slices, encode_revoke
from meadowlark.wire.realtime import Session, State
from meadowlark.wire.replies import (
    PONG,
    UPGRADE,
    encode_debug,
    encode_get_slices,
    encode_ok,
    encode_redirect,
    encode_refusal,
    encode_reply,
    encode_shutdown,
)
from meadowlark.wire.websocket import CloseCode, close_frame, ping_frame, pong_frame, text_frames

__all__ = [
    "PONG",
    "REALTIME",
    "UPGRADE",
    "Answer",
    "Authenticate",
    "Close",
    "CloseCode",
    "Long",
    "Outcome",
    "Session",
    "SetPace",
    "State",
    "Switch",
    "Unauthenticate",
    "close_frame",
    "encode_auth_revoked",
    "encode_debug",
    "encode_get_slices",
    "encode_ok",
    "encode_push",
    "encode_push_slices",
    "encode_redirect",
    "encode_refusal",
    "encode_reply",
    "encode_revoke",
    "encode_shutdown",
    "ping_frame",
    "pong_frame",
    "text_frames",
]
