"""Every bound of the server, with its unit and its reason. Relations between bounds are asserted at the end.

Sources: the limits that Firebase documents for the Realtime Database (docs/semantics.md "Limits"); the rest are ours.
"""

from __future__ import annotations

# The tree: as documented by Firebase, so that data moves both ways.

KEY_BYTES_MAX = 768
"""UTF-8 bytes of one key."""

PATH_DEPTH_MAX = 32
"""Keys from the root to the deepest leaf."""

STRING_BYTES_MAX = 10 * 1024 * 1024
"""UTF-8 bytes of one string value."""

DATABASE_NAME_LENGTH_MAX = 63
"""Characters of a database name: a DNS label, since the name may come from the first host label."""

# The realtime socket.

FRAME_BYTES_MAX = 16384
"""Bytes of one frame that we send: mobile clients of the protocol accept no more."""

CLIENT_FRAME_BYTES_MAX = 16384 * 3 + 64
"""Bytes of one frame that we accept: 16,384 UTF-16 units are at most three UTF-8 bytes each, and some slack."""

MESSAGE_BYTES_MAX = 16 * 1024 * 1024 + 256 * 1024
"""Bytes of one assembled message from a client: a 16 MB value and its envelope."""

MESSAGE_FRAMES_MAX = 16384
"""Frames that one message from a client may announce."""

SESSION_LISTENS_MAX = 50_000
"""Listens of one connection."""

SESSION_ON_DISCONNECTS_MAX = 10_000
"""Operations that one connection may queue for its disconnection."""

PLACE_ORDERS_MAX = 32
"""Orders in which the children of one place may be queried at a time: each is an index, of 200 to 300 bytes a child."""

ORDERING_WAITERS_MAX = 10_000
"""Requests that may wait for the index of one place to be made."""

HASH_WAITERS_MAX = 10_000
"""Listens that may wait for the hash of one place; further ones are sent the value."""

RANGES_MAX = 2_048
"""Ranges of a client's compound hash; one with more counts as none. The largest cache of the mobile SDKs, 100 MB, has 1,000."""

RANGE_SEARCHES_MAX = 32
"""Compound hashes that are compared at a time, in one database; who brings a further one is sent the value."""

HELD_COMMANDS_MAX = 10_000
"""Commands of one database that may wait for a large update to be carried out; further requests are asked to come back."""

INDEXES_IDLE_MAX = 32
"""Indexes of a database that are kept though nobody uses them now."""

INDEX_IDLE_SECONDS = 60
"""For so long at most: whoever reads with a query now and then does not make its index anew each time."""

VOLATILE_BYTES_MAX = 4096
"""Bytes of one volatile value as JSON: a position, a cursor; what is larger wants to be durable, or smaller."""

SESSION_VOLATILE_VALUES_MAX = 1_000
"""Volatile values of one connection."""

VOLATILE_VALUES_MAX = 20_000
"""Volatile values of one database: each costs a snapshot or an export some microseconds to leave out."""

VOLATILE_RATE_MIN = 0.1
"""Times a second that a client may ask to be told of volatile values; seldomer is for values that last."""

VOLATILE_RATE_MAX = 1_000.0
"""The same at most; oftener is as good as no bound."""

OUTBOX_BYTES_MAX = 32 * 1024 * 1024
"""Bytes that may wait for one client behind the message being sent, before it is closed as slow."""

OUTBOXES_BYTES_MAX = 512 * 1024 * 1024
"""Bytes that may wait for all the slow clients of one worker together. Beyond it those that most waits for are closed until an
eighth is free: sixteen clients at their own bound, or 8,000 that are 64 kB behind."""

OUTBOX_STALL_SECONDS = 60.0
"""A client that takes nothing at all for this long, with bytes waiting, is closed as slow."""

HANDSHAKE_SECONDS = 10.0
"""From when a connection is let in to a complete request head; slower peers are closed."""

ARRIVALS_MAX = 8192
"""Connections of one worker that wait to be let in. More stay in the kernel's queue, whose end clients do not notice: it drops
what they send to connect, and they send it again a second later."""

PING_SECONDS = 48.0
"""A realtime connection that was silent for so long is pinged. SDKs say something every 45 seconds, so those that live are never
asked: with thousands of idle connections, pings and their answers were most of the cost."""

LOST_SECONDS = 72.0
"""One that was silent for so long, the ping included, is closed as lost."""

VOLATILE_PING_SECONDS = 12.0
"""The same for one whose volatile values others see: where it is gone, they should be. Our own clients say something sooner."""

VOLATILE_LOST_SECONDS = 36.0
"""And for this one. More than long polls are held for."""

# Long polls.

LONG_POLL_SESSIONS_MAX = 10_000
"""Sessions over long polls of one worker. They hold memory without holding a socket, so descriptors do not bound them."""

LONG_POLL_HOLD_SECONDS = 30.0
"""For which a poll is held when there is nothing to say: longer than the SDK waits before it polls anew (25 s), shorter than
proxies wait for an answer."""

LONG_POLL_EARLY_PIECES_MAX = 256
"""Pieces that may arrive before one that they follow. A client has two requests on their way, of 1,870 characters each."""

LONG_POLL_WAITING_MAX = 16
"""Polls of one session that wait while a long message of it is prepared; official clients have at most two on their way."""

LONG_POLL_UPGRADE_SECONDS = 60.0
"""A WebSocket that has not taken over by then is closed; the SDK gives up as late."""

LONG_POLL_UPGRADE_BYTES_MAX = 256 * 1024
"""Held of what comes on a WebSocket before it takes over; then it is not read until it does."""

# WebTransport.

QUIC_CONNECTIONS_MAX = 10_000
"""QUIC connections of one worker, finished handshakes or not. They share one socket, so descriptors do not bound them."""

QUIC_PING_SECONDS = 10.0
"""After which a silent QUIC connection is asked. Idle clients say something twice a minute; pages in a browser's background
cannot, but the browser answers for them."""

QUIC_IDLE_SECONDS = 24.0
"""After which a QUIC connection that stays silent is forgotten: its goodbye was lost, or it died."""

QUIC_WINDOW_BYTES = 1024 * 1024
"""That a client may send on one stream before we have read it."""

QUIC_OVERHEAD_BYTES_MAX = 256 * 1024
"""Of a QUIC connection beside its realtime stream: settings, compressed headers, requests. A client needs about one thousand."""

WEBTRANSPORT_HELD_BYTES_MAX = MESSAGE_BYTES_MAX + QUIC_WINDOW_BYTES
"""Held of what comes while a long message is prepared: as much as another, and what was under way."""

DATAGRAM_PATHS_MAX = 1024
"""Paths of one connection that have numbers, in each direction."""

NUMBERS_MAX = 8192
"""Paths of one database whose values are told in datagrams; the values of others go on the streams."""

# REST.

HEAD_BYTES_MAX = 64 * 1024
"""Bytes of a request line with its headers."""

HEADERS_MAX = 256
"""Headers of one request; clients and their proxies send ten to thirty. A head full of empty ones would take 20 ms to read."""

BODY_BYTES_MAX = 256 * 1024 * 1024
"""Bytes of a request body."""

WRITE_BYTES_A_SECOND = 8 * 1024 * 1024
"""What a core decodes, checks and encodes of a large write in a second, when others are busy too: what `writeSizeLimit` reckons
with, since it is given as a time."""

LARGE_BYTES = 128 * 1024
"""Bytes of JSON from which on it is decoded, checked and encoded in slices: a millisecond or two in one go."""

LARGE_WRITES_BYTES_MAX = 1024 * 1024 * 1024
"""Bytes of large writes that one worker collects and prepares at a time; further ones are asked to come back, or those that
come slowest."""

LARGE_WRITES_DATABASE_BYTES_MAX = LARGE_WRITES_BYTES_MAX // 2
"""Of them, those for one database: others have room for theirs, whatever its clients send."""

READ_SECONDS_MAX = 900.0
"""That a read may take, and what it may take where its `timeout` does not say less: as Firebase documents it."""

STREAM_EVENT_BYTES_MAX = 512 * 1024 * 1024
"""Bytes of an event that tells a stream of a change; of a larger one the stream is told that it is too large, and ends. As
Firebase documents it."""

STREAM_KEEPALIVE_SECONDS = 30.0
"""Between keep-alive events of a server-sent event stream."""

# Security rules.

RULES_BYTES_MAX = 1024 * 1024
"""UTF-8 bytes of one rule set: the largest we know of has 60 kB."""

RULES_MEMBERS_MAX = 50_000
"""Keys in one rule set: each becomes an object that stays."""

EXPRESSION_LENGTH_MAX = 65_536
"""Characters of one rule."""

EXPRESSION_DEPTH_MAX = 100
"""Levels that one expression may nest, since it is checked and evaluated by recursion; the deepest we know of has 20."""

PATTERN_REPEAT_MAX = 1000
"""Of `{n,m}` in a regular expression, as in the engine that matches it."""

PATTERN_INSTRUCTIONS_MAX = 20_000
"""Of the compiled form of one regular expression."""

EVALUATION_CHARACTERS_MAX = 16 * 1024 * 1024
"""Characters that one evaluation of a rule may look at or produce, those in a match weighed by the size of the pattern. One look
at the longest string fits; some tens of milliseconds."""

OPERATION_RULES_MAX = 200_000
"""Evaluations of rules for one operation: some tenths of a second. A larger write needs fewer `.validate` rules, or an admin."""

# Identity.

TOKEN_LENGTH_MAX = 16 * 1024
"""Characters of a credential. Tokens of users have one or two thousand; a request's head has room for 64 KiB of everything."""

TOKENS_CACHED_MAX = 4096
"""Verified tokens that one worker remembers, some kilobytes each."""

CREDENTIALS_MAX = 1000
"""Named admin credentials: people and services of one operator."""

CLOCK_SKEW_SECONDS = 60.0
"""How far an issuer's clock may be ahead of ours. Expiry is by our clock alone, so it has no such grace."""

KEYS_OF_ISSUER_MAX = 100
"""Keys taken from what one issuer publishes; two to ten are usual."""

KEYS_BODY_BYTES_MAX = 512 * 1024
"""Bytes of an answer of an issuer: a hundred certificates."""

KEYS_FETCH_SECONDS = 10.0
"""From asking an issuer to its whole answer; who waits for a key waits no longer."""

KEYS_RETRY_SECONDS = 5.0
"""After a failed fetch, until the next."""

KEYS_MISS_SECONDS = 30.0
"""Between fetches that tokens with unknown key ids cause: anybody can invent such tokens."""

KEYS_FRESH_SECONDS_MIN = 60.0
"""An issuer that says its keys are fresh for less is asked no more often."""

KEYS_FRESH_SECONDS_MAX = 24 * 3600.0
"""An issuer that says more, even for ever, is asked daily: a key that it withdrew must end some time."""

KEYS_STALE_SECONDS = 3600.0
"""For which keys still count after they should have been fetched anew, while that fails."""

RULES_VERSIONS_MAX = 100
"""Versions of one database's rules that are kept; the oldest go first."""

# The journal.

SEGMENT_BYTES_MAX = 64 * 1024 * 1024
"""A segment is sealed when it is larger than this."""

RECORD_BYTES_MAX = 512 * 1024 * 1024
"""A longer length in a record header is damage, not data."""

GROUP_BYTES_MAX = 1024 * 1024
"""A group takes no further record beyond this, so that nobody's acknowledgement waits long for the records of others: a
millisecond or two on a fast disk. A larger record is written in parts, between the groups of other databases."""

JOURNAL_BACKLOG_BYTES_MAX = 512 * 1024 * 1024
"""Bytes that may wait for the disk before new writes are refused until it has caught up."""

SNAPSHOT_BYTES_MIN = 4 * 1024 * 1024
"""Journal bytes of one database before a snapshot is worth its cost (then: as much as its last snapshot)."""

JOURNAL_SEALED_BYTES_MAX = 4 * SEGMENT_BYTES_MAX
"""Of sealed segments kept before the databases in the oldest are snapshotted so that it can go."""

assert MESSAGE_BYTES_MAX < OUTBOX_BYTES_MAX, "one message of a client must fit another client's outbox"
assert OUTBOX_BYTES_MAX * 4 <= OUTBOXES_BYTES_MAX, "one slow client must not be what ends the others"
assert MESSAGE_BYTES_MAX <= MESSAGE_FRAMES_MAX * FRAME_BYTES_MAX, "a full message must be announceable"
assert STRING_BYTES_MAX < MESSAGE_BYTES_MAX, "the longest string must fit a message"
assert EVALUATION_CHARACTERS_MAX > STRING_BYTES_MAX, "a rule must be able to look at the longest string"
assert GROUP_BYTES_MAX + RECORD_BYTES_MAX + SEGMENT_BYTES_MAX < 2**32, "an offset in a segment must fit 32 bits"
assert LARGE_WRITES_DATABASE_BYTES_MAX >= BODY_BYTES_MAX + MESSAGE_BYTES_MAX, "the largest write must fit"
assert KEYS_MISS_SECONDS <= KEYS_FRESH_SECONDS_MIN, "an unknown key must not wait longer than a refresh"
assert LONG_POLL_HOLD_SECONDS < VOLATILE_LOST_SECONDS, "a poll that is held is no silence"
assert TOKEN_LENGTH_MAX < HEAD_BYTES_MAX, "the longest credential must fit a request"
assert BODY_BYTES_MAX * 2 <= RECORD_BYTES_MAX, "the record of the largest write must be readable again"
