/* Load generator: many clients of the realtime protocol in one thread, open loop.
 *
 * It opens --connections WebSockets (paced, from several loopback addresses), lets each listen to its room, then writes at a
 * fixed total rate spread over the clients. A write carries the time at which it was *due*, so whatever delays it (this
 * program, the server, the disk) counts as latency; a server that stalls cannot make the load go away. Two latencies are kept in
 * log-linear histograms: *delivered*, from due to each listener's push, and *acknowledged*, from due to the writer's reply. `sent_late`,
 * from due to the write call, and the CPU seconds say what the generator itself cost.
 *
 * How it thinks: phases run one after the other (connect, settle, write, drain, report), each a loop around `turn`, which waits
 * for sockets and due times. Bytes are never parsed as JSON: a push is known by its marker, `@` and 24 hexadecimal digits (due time,
 * process, number of the write), a reply by its "r". What a client does once open and what happens at each due time are a row
 * of WORKLOADS; a new workload is a new row. What the bytes look like is a row of DIALECTS: other servers are measured
 * with the same clock, the same loop and the same rooms.
 *
 * Invariants: every write counts once in `sent`, then in `acknowledged`, `refused` or as missing; each listener's received count and
 * sum of write numbers equal its room's since it joined, or the difference is reported (missing, extra, mixed up). What was
 * under way to a client that leaves on purpose is not counted.
 * Does not know: what else is on the machine. It prints JSON lines: {"event": ...} as phases begin, the report last. With --pause it waits
 * for a line on standard input once all clients are connected, so that several processes start together.
 * One long file on purpose: `cc` and nothing else builds it (bench/build).
 * Source: docs/performance.md; RFC 6455 for the frames; for deepstream protobuf's documentation of its encoding, and the numbers that the npm
 * package @deepstream/protobuf gives fields and actions.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define NEVER UINT64_MAX
#define SECOND 1000000000ull
#define PIECE_BYTES 16384         /* A longer message is sent as a count and pieces, as the SDKs do. */
#define VALUE_BYTES_MAX (1 << 20)
#define READ_BYTES (1 << 20)      /* One shared read buffer: what a socket holds is taken in one call. */
#define HELD_BYTES_MAX (1 << 18)  /* A longer unfinished frame is judged by its beginning and the rest skipped. */
#define EVENTS_MAX 256
#define DUE_BATCH_MAX 64          /* Writes made in a row before sockets are looked at again. */
#define OPENING_MAX 256           /* Clients between connect and ready; below any sane accept backlog. */
#define PER_ADDRESS 20000         /* Connections per source address, inside the usual range of 28,000 ephemeral ports. */
#define OPENING_SECONDS_MAX 60    /* Without one client becoming ready for so long, connecting is given up. */
#define MARKER_BYTES 25           /* '@', 14 digits of due nanoseconds, 2 of the process, 8 of the write's number. */
#define SEATS_KEPT (1 << 20)      /* Writes of which it is known whose they were. */
#define IS_READ (1ull << 63)      /* In a due time: the request is a read, whose answer is no acknowledgement. */
#define RETRY_SECONDS 1           /* Until a refused client tries again, unless the server names another time. */

/* ---- Histogram: 128 linear steps in each power of two, so a figure is at most 0.8 % off. ---- */

#define STEP_BITS 7
#define STEPS (1 << STEP_BITS)
#define BUCKETS ((48 - STEP_BITS) * STEPS)

typedef struct {
    u64 count, sum, max;
    u64 buckets[BUCKETS];
} Histogram;

static u32 bucket_index(u64 value) {
    if (value < STEPS) return (u32)value;
    u32 shift = 63 - (u32)__builtin_clzll(value) - STEP_BITS;
    u64 index = (u64)shift * STEPS + (value >> shift);
    return index < BUCKETS ? (u32)index : BUCKETS - 1;
}

/* The highest value that falls into the bucket, so that a percentile never flatters. */
static u64 bucket_top(u32 index) {
    if (index < STEPS) return index;
    u32 shift = index / STEPS - 1;
    return ((u64)(index - shift * STEPS + 1) << shift) - 1;
}

static void record(Histogram *histogram, u64 value) {
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[bucket_index(value)]++;
}

static double percentile_ms(const Histogram *histogram, double share) {
    u64 rank = (u64)ceil(share * (double)histogram->count), seen = 0;
    for (u32 index = 0; index < BUCKETS; index++) {
        seen += histogram->buckets[index];
        if (seen >= rank && seen) {
            u64 top = bucket_top(index);
            return (double)(top < histogram->max ? top : histogram->max) / 1e6;
        }
    }
    return 0;
}

/* ---- State ---- */

typedef enum { CLOSED, CONNECTING, UPGRADING, GREETING, AUTHENTICATING, LISTENING, JOINING, READY } Stage;
typedef enum { NOTHING, PUSH, REPLY, CONTROL, PING, SEAT, OTHER } Kind;

/* What the beginning of a message tells; kept until its last piece has arrived. */
typedef struct {
    Kind kind;
    u32 request;     /* REPLY: its "r" */
    bool ok;         /* REPLY: status ok */
    u64 due_at;      /* PUSH: from the marker */
    u32 process, number;
    u32 seat, version; /* SEAT: whose value was read, and which it was */
} Message;

typedef struct {
    int fd;
    Stage stage;
    u32 room, seat;          /* which room, and which place in it: the key it writes to */
    u32 next_request;        /* the "r" of the next request */
    u32 pieces;              /* frames of the current message still to come after this one */
    bool in_message, want_out;
    Message message;
    u64 asked_at;            /* start of the step being timed: connect, then listen */
    u64 skip_bytes;          /* rest of a long frame, already judged */
    bool skip_final;
    u8 *held;                /* an unfinished frame or HTTP head */
    u32 held_bytes;
    u8 *outbox;              /* what the socket would not take yet */
    u32 outbox_bytes, outbox_capacity;
    u64 *due_at;             /* due times of unanswered writes, at [request & due_mask]; 0 when answered */
    u32 due_mask, due_oldest;
    u32 received, joined;    /* pushes received; the room's writes when it joined */
    u64 received_sum, joined_sum;
    u32 joined_number;       /* the write made next when it joined: of earlier ones it may hear or not */
    u64 return_at;           /* when it is due to open again after leaving */
    u32 departures, left_number; /* how often it left; the number that the room counts its last leaving as */
    u64 left_at;
    u32 *seen;               /* of each seat, the last write heard of, plus one; only if pushes are whole rooms */
    u32 unread, version;     /* if it listens seat by seat: those still to be read, and of its own the version before its first write */
    u32 expected;            /* set when it closes, else computed at the end */
    u64 expected_sum;
} Client;

typedef struct {
    u32 listeners, written;
    u64 written_sum;
} Room;

typedef struct {
    const char *name, *question;
    enum { NO_ROOM, ROOMS_OF_SIZE, ONE_ROOM } rooms;
    void (*opened)(Client *);   /* greeted and, if asked for, authenticated */
    void (*due)(u64 due_at);    /* at each due time; NULL holds the connections only */
    void (*listening)(Client *); /* its room is being listened to; most are ready then */
    bool returns;               /* a client that could not open tries again */
    const char *query;          /* members of the listen beside its path: the realtime protocol only */
    bool messages;              /* each write is a new child of the room */
} Workload;

/* How a kind of server is spoken to. The value in the middle of a write is the same everywhere. */
typedef struct {
    const char *name, *what;
    bool raw;            /* a byte stream of its own, no HTTP and no WebSocket */
    bool counts;         /* a number announces that so many frames are one message */
    bool silent;         /* writes are not acknowledged */
    bool binary;         /* frames that are not text */
    bool unechoed;       /* who writes does not hear of it */
    bool whole;          /* a push has all the seats of the room: what is new in it is what it tells */
    void (*path)(const Client *, char *text, size_t room);            /* of the upgrade */
    void (*upgraded)(Client *);                                       /* NULL: wait for the server's greeting */
    void (*greeted)(Client *);
    void (*listen)(Client *);
    int (*write_head)(const Client *, char *text, u32 number, u32 value_bytes);
    const char *write_tail, *pong, *keepalive;
    Message (*judge)(const u8 *bytes, size_t count);
} Dialect;

static struct {
    const char *host, *auth, *ns, **auths;
    u32 auth_count, port, databases, connections, room_size, value_bytes, connect_rate, sources, first_source, first_room, process;
    double writes_per_second, seconds, warmup, keepalive, drain, away;
    bool idle, pause, buckets, poisson, spin;
    const Workload *workload;
    const Dialect *dialect;
} options = {
    .host = "127.0.0.1", .ns = "bench", .port = 9000, .databases = 1, .connections = 1000, .room_size = 10, .value_bytes = 64,
    .connect_rate = 2000, .first_source = 1, .writes_per_second = 2000, .seconds = 10, .warmup = 2, .keepalive = 45, .drain = 5, .away = 2,
};

static Client *clients;
static Room *rooms;
static u32 room_count, *turns;       /* turns: the clients in a shuffled order, in which they write */
static u32 turn_index, opened, opening, ready, failed, lost;
static int poller;
static bool paused;
static u64 now, next_write_at = NEVER, next_connect_at = NEVER, next_keepalive_at = NEVER, keepalive_gap;
static u64 write_gap, writes_end_at, measured_from = NEVER, measured_until;
static u64 sent, unsent, acknowledged, refused, expected_total, delivered, foreign, unknown_messages, reads, read_bytes;
static u64 window_deliveries, window_acknowledged, window_writes, idle_nanoseconds;
static u32 write_number, keepalive_index;
static u32 *returning, returning_count; /* clients that are away, a heap: the one due first is at its top */
static u32 seat_of[SEATS_KEPT];         /* the seat of a recent write, by its number */
static u64 departures, retries, early;
static u64 second_ends_at;              /* of the second that `second_in` is about */
static double worst_second_p99;
static Histogram delivered_in, acknowledged_in, sent_late, connected_in, listened_in, left_in, joined_in, back_in, second_in;
static u8 read_buffer[READ_BYTES + HELD_BYTES_MAX];
static char filler[VALUE_BYTES_MAX], first_error[300];
static u64 random_state = 0x9E3779B97F4A7C15ull;

static void client_close(Client *client, const char *why);
static void client_leave(Client *client, u64 return_at);

static u64 clock_now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (u64)at.tv_sec * SECOND + (u64)at.tv_nsec;
}

static u64 random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("out of memory for %zu × %zu bytes", count, size);
    return memory;
}

/* Only the first error is kept: the others are nearly always its echo. */
static void note_error(const char *what, const u8 *bytes, size_t count) {
    if (first_error[0]) return;
    int room = (int)sizeof first_error - 1, used = snprintf(first_error, (size_t)room, "%s: ", what);
    for (size_t i = 0; i < count && used < room; i++)
        first_error[used++] = bytes[i] < 32 || bytes[i] > 126 ? ' ' : bytes[i] == '"' || bytes[i] == '\\' ? '\'' : (char)bytes[i];
}

/* ---- Sending ---- */

static void watch(Client *client, bool want_out) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (want_out ? EPOLLOUT : 0u), .data.ptr = client};
    client->want_out = want_out;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, client->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void outbox_add(Client *client, const u8 *bytes, u32 count) {
    if (client->outbox_bytes + count > client->outbox_capacity) {
        client->outbox_capacity = (client->outbox_bytes + count) * 2;
        client->outbox = realloc(client->outbox, client->outbox_capacity);
        if (!client->outbox) fail("out of memory for an outbox of %u bytes", client->outbox_capacity);
    }
    memcpy(client->outbox + client->outbox_bytes, bytes, count);
    client->outbox_bytes += count;
}

static void send_bytes(Client *client, const u8 *bytes, u32 count) {
    ssize_t took = 0;
    if (!client->outbox_bytes) {
        took = send(client->fd, bytes, count, MSG_NOSIGNAL);
        if (took < 0 && errno != EAGAIN) {
            client_close(client, strerror(errno));
            return;
        }
        if (took < 0) took = 0;
    }
    if ((u32)took == count) return;
    outbox_add(client, bytes + took, count - (u32)took);
    if (!client->want_out) watch(client, true);
}

static void flush_outbox(Client *client) {
    ssize_t took = send(client->fd, client->outbox, client->outbox_bytes, MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN) {
        client_close(client, strerror(errno));
        return;
    }
    if (took > 0) {
        client->outbox_bytes -= (u32)took;
        memmove(client->outbox, client->outbox + took, client->outbox_bytes);
    }
    if (!client->outbox_bytes) watch(client, false);
}

/* One masked frame, as RFC 6455 5.3 demands of clients: the server's unmasking is part of what is measured. */
static void send_frame(Client *client, u8 opcode, const char *text, u32 count) {
    static u8 frame[VALUE_BYTES_MAX + 4096];
    u32 at = 0;
    frame[at++] = 0x80 | opcode;
    if (count < 126) {
        frame[at++] = 0x80 | (u8)count;
    } else if (count > 65535) { /* Never with pieces; other dialects send any length at once. */
        frame[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) frame[at++] = (u8)((u64)count >> shift);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (u8)(count >> 8);
        frame[at++] = (u8)count;
    }
    u32 mask = (u32)(random_next() >> 16);
    memcpy(frame + at, &mask, 4);
    at += 4;
    const u8 *key = frame + at - 4;
    for (u32 i = 0; i < count; i++) frame[at + i] = (u8)text[i] ^ key[i & 3];
    send_bytes(client, frame, at + count);
}

static void send_message(Client *client, const char *text, u32 count) {
    if (options.dialect->raw) {
        send_bytes(client, (const u8 *)text, count);
        return;
    }
    if (!options.dialect->counts) {
        send_frame(client, options.dialect->binary ? 2 : 1, text, count);
        return;
    }
    if (count > PIECE_BYTES) {
        char pieces[16];
        send_frame(client, 1, pieces, (u32)sprintf(pieces, "%u", (count + PIECE_BYTES - 1) / PIECE_BYTES));
    }
    for (u32 from = 0; from < count && client->stage != CLOSED; from += PIECE_BYTES)
        send_frame(client, 1, text + from, count - from < PIECE_BYTES ? count - from : PIECE_BYTES);
}

/* Text of other dialects. */
static void say(Client *client, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_message(client, text, (u32)used);
}

static void request(Client *client, const char *action, const char *format, ...) {
    char text[4096];
    int used = snprintf(text, sizeof text, "{\"t\":\"d\",\"d\":{\"r\":%u,\"a\":\"%s\",\"b\":", client->next_request++, action);
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    if ((size_t)used + 3 > sizeof text) fail("a request of %d bytes is too long: shorten --auth", used);
    memcpy(text + used, "}}", 3);
    send_message(client, text, (u32)used + 2);
}

/* ---- What clients do ---- */

static void become_ready(Client *client) {
    client->stage = READY;
    opening--;
    ready++;
}

static void listen_to_room(Client *client) {
    client->stage = LISTENING;
    client->asked_at = now;
    options.dialect->listen(client);
}

/* From here on nothing may be missing. Writes made before were handled by the server before or after: they count for nothing. */
static void listening(Client *client) {
    Room *room = &rooms[client->room];
    record(&listened_in, now - client->asked_at);
    client->stage = JOINING;
    room->listeners++;
    client->joined = room->written;
    client->joined_sum = room->written_sum;
    client->joined_number = write_number;
    client->received = 0;
    client->received_sum = 0;
    if (options.workload->listening) options.workload->listening(client);
    else become_ready(client);
}

/* Requests may be answered in any order and later than `due_mask` others: the ring grows until all unanswered ones fit. */
static void remember_due(Client *client, u32 number, u64 due_at) {
    while (client->due_oldest < number && client->due_at && !client->due_at[client->due_oldest & client->due_mask]) client->due_oldest++;
    if (!client->due_at || number - client->due_oldest > client->due_mask) {
        u32 size = client->due_at ? (client->due_mask + 1) * 2 : 4;
        u64 *grown = allocate(size, sizeof *grown);
        if (client->due_at)
            for (u32 i = client->due_oldest; i < number; i++) grown[i & (size - 1)] = client->due_at[i & client->due_mask];
        else
            client->due_oldest = number;
        free(client->due_at);
        client->due_at = grown;
        client->due_mask = size - 1;
    }
    client->due_at[number & client->due_mask] = due_at;
}

/* Writes into the client's seat; all that listen to its room are to hear of it, itself too where the dialect echoes. */
static void write_seat(Client *client, u64 due_at) {
    static char text[VALUE_BYTES_MAX + 512];
    Room *room = &rooms[client->room];
    u32 request_number = client->next_request++, number = write_number++;
    int fill = (int)options.value_bytes - MARKER_BYTES - 8;
    if (fill < 0) fill = 0;
    /* {"v":"@<marker><filler>"}: the marker comes first, so the first piece of any message carrying it tells all. */
    int used = options.dialect->write_head(client, text, request_number, (u32)fill + MARKER_BYTES + 8);
    used += sprintf(text + used, "{\"v\":\"@%014llx%02x%08x", (unsigned long long)due_at, options.process, number);
    memcpy(text + used, filler, (size_t)fill);
    used += fill;
    used += sprintf(text + used, "\"}%s", options.dialect->write_tail);
    room->written++;
    room->written_sum += number;
    seat_of[number % SEATS_KEPT] = client->seat;
    sent++;
    expected_total += room->listeners;
    if (options.dialect->unechoed) { /* To its writer it is like one made before it joined. */
        client->joined++;
        client->joined_sum += number;
        expected_total--;
    }
    if (!options.dialect->silent) remember_due(client, request_number, due_at);
    send_message(client, text, (u32)used);
}

static Client *next_in_turn(void) {
    Client *client = &clients[turns[turn_index]];
    turn_index = turn_index + 1 < options.connections ? turn_index + 1 : 0;
    return client;
}

static void write_to_room(u64 due_at) {
    Client *client = next_in_turn();
    if (client->stage != READY) {
        unsent++;
        return;
    }
    write_seat(client, due_at);
    if (due_at >= measured_from) record(&sent_late, clock_now() - due_at);
}

static void drop_all(u64 due_at);

/* Presence. A client listens to its room, leaves word for its end, says that it is there, and later vanishes: its socket is closed
 * without a word. The word it left bears its index and how often it has left before, since nobody can know then when that will be. */
static u64 due_back(const Client *client) {
    return client->left_at + (options.workload->due == drop_all ? 0 : (u64)(options.away * SECOND));
}

static void announce_presence(Client *client) {
    request(client, "o", "{\"p\":\"/rooms/r%u/c%u\",\"d\":{\"v\":\"@%014llx%02x%08x\"}}", client->room + options.first_room, client->seat,
            (unsigned long long)client->departures + 1, options.process, (u32)(client - clients));
    write_seat(client, client->left_at ? due_back(client) : now);
}

static void vanish(u64 due_at) {
    Client *client = next_in_turn();
    if (client->stage != READY) {
        unsent++;
        return;
    }
    client_leave(client, due_at + (u64)(options.away * SECOND));
    Room *room = &rooms[client->room];
    client->departures++;
    client->left_at = due_at;
    client->left_number = write_number++;
    room->written++;
    room->written_sum += client->left_number;
    expected_total += room->listeners;
    departures++;
    if (due_at >= measured_from) record(&sent_late, clock_now() - due_at);
}

/* Reconnect storm: all connections drop, and come back at once. */
static void drop_all(u64 due_at) {
    for (u32 i = 0; i < options.connections; i++) {
        Client *client = &clients[i];
        if (client->stage != READY) {
            unsent++;
            continue;
        }
        client_leave(client, due_at);
        client->left_at = due_at;
        departures++;
    }
}

static void come_back(Client *client) {
    if (client->left_at) record(&back_in, now - due_back(client));
    become_ready(client);
}

/* Typical: of ten things that are due, eight are writes, one is a read, and one is a client that leaves and is back later. */
static void live_on(u64 due_at) {
    u64 what = random_next() % 10;
    if (what < 8) {
        write_to_room(due_at);
        return;
    }
    Client *client = next_in_turn();
    if (client->stage != READY) {
        unsent++;
    } else if (what == 8) {
        sent++;
        remember_due(client, client->next_request, due_at | IS_READ);
        request(client, "g", "{\"p\":\"/rooms/none\"}");
    } else {
        client_leave(client, due_at + (u64)(options.away * SECOND));
        client->left_at = due_at;
        departures++;
    }
}

static const Workload WORKLOADS[] = {
    {"rooms", "each client listens to its room and writes into it now and then", ROOMS_OF_SIZE, listen_to_room, write_to_room, NULL, false, NULL, false},
    {"hot", "all clients listen to one room and write into it in turn", ONE_ROOM, listen_to_room, write_to_room, NULL, false, NULL, false},
    {"presence", "clients come, say so, leave word for their end, and vanish; a 'write' is one vanishing, --away later it is back",
     ROOMS_OF_SIZE, listen_to_room, vanish, announce_presence, true, NULL, false},
    {"storm", "all clients drop and come back at once; a 'write' is one such storm", ROOMS_OF_SIZE, listen_to_room, drop_all, come_back, true, NULL, false},
    {"typical", "clients write into their rooms, read, and come and go", ROOMS_OF_SIZE, listen_to_room, live_on, come_back, true, NULL, false},
    {"idle", "clients connect and stay", NO_ROOM, become_ready, NULL, NULL, false, NULL, false},
    {"chat", "each client listens to the last fifty messages of its room and adds one now and then", ROOMS_OF_SIZE, listen_to_room,
     write_to_room, NULL, false, ",\"q\":{\"i\":\".key\",\"l\":50,\"vf\":\"r\"},\"t\":1", true},
    /* Rules: any row, against a database that has some, with --auth-file: ruled.py. */
};
#define WORKLOAD_COUNT (sizeof WORKLOADS / sizeof *WORKLOADS)

/* ---- Receiving ---- */

static bool hex(const u8 *digits, u32 count, u64 *value) {
    u64 result = 0;
    for (u32 i = 0; i < count; i++) {
        u8 digit = digits[i];
        u8 four = (u8)(digit - '0') < 10 ? digit - '0' : (u8)(digit - 'a') < 6 ? digit - 'a' + 10 : 255;
        if (four == 255) return false;
        result = result << 4 | four;
    }
    *value = result;
    return true;
}

/* Whether a marker stands at `at`, and what it says. */
static bool read_marker(const u8 *at, const u8 *end, Message *message) {
    u64 due_at, tail;
    if (end - at < MARKER_BYTES || !hex(at + 1, 14, &due_at) || !hex(at + 15, 10, &tail)) return false;
    message->kind = PUSH;
    message->due_at = due_at;
    message->process = (u32)(tail >> 32);
    message->number = (u32)tail;
    return true;
}

static bool find_marker(const u8 *bytes, size_t count, Message *message) {
    const u8 *at = memchr(bytes, '@', count);
    return at && read_marker(at, bytes + count, message);
}

static u32 decimal(const u8 *at, const u8 *end) {
    u32 result = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++) result = result * 10 + (u32)(*at - '0');
    return result;
}

/* A message by its beginning: the whole of a short one, the first piece of a long one. */
static Message judge_firebase(const u8 *bytes, size_t count) {
    Message message = {.kind = OTHER};
    const u8 *at;
    if (find_marker(bytes, count, &message)) return message;
    if ((at = memmem(bytes, count, "\"r\":", 4))) {
        message.kind = REPLY;
        message.request = decimal(at + 4, bytes + count);
        message.ok = memmem(bytes, count, "\"s\":\"ok\"", 8) != NULL;
        if (!message.ok) note_error("refused", bytes, count);
    } else if (memmem(bytes, count, "\"t\":\"c\"", 7)) { /* Last in the messages of firebase-server. */
        message.kind = CONTROL;
        message.ok = memmem(bytes, count, "\"t\":\"h\"", 7) != NULL;
        if (!message.ok && !memmem(bytes, count, "\"t\":\"o\"", 7)) note_error("control message", bytes, count);
    }
    return message;
}

static Message judge_relay(const u8 *bytes, size_t count) {
    Message message = {.kind = OTHER};
    find_marker(bytes, count, &message);
    return message;
}

/* Engine.IO packet type, then Socket.IO packet type, then the number of an acknowledgement. */
static Message judge_socketio(const u8 *bytes, size_t count) {
    Message message = {.kind = OTHER};
    if (count && bytes[0] == '0') message.kind = CONTROL, message.ok = true;
    else if (count && bytes[0] == '2') message.kind = PING;
    else if (count > 1 && bytes[0] == '4' && bytes[1] == '2') find_marker(bytes, count, &message);
    else if (count > 1 && bytes[0] == '4' && (bytes[1] == '0' || bytes[1] == '3')) {
        message.kind = REPLY;
        message.ok = true;
        message.request = decimal(bytes + 2, bytes + count);
    } else note_error("unexpected packet", bytes, count);
    return message;
}

/* deepstream: a protobuf message in each frame, its size before it. It has a topic and, in one text, the fields. Each field is a tag, whose
 * low three bits are 2 if a text follows, and a number: the value, or the size of the text. */
enum { TOPIC = 2 << 3, FIELDS = 3 << 3 | 2 };
enum { ACTION = 1 << 3, VALUE = 2 << 3 | 2, REQUEST = 3 << 3 | 2, NAME = 6 << 3 | 2, NAMES = 7 << 3 | 2, ACKNOWLEDGE = 11 << 3, VERSION = 13 << 3 };
enum { CONNECTION = 2, AUTH = 3, RECORD = 5 };
enum { SUBSCRIBE_CREATE_READ = 23, UPDATE = 18 };

/* What the answers mean; any other is a refusal. */
static const struct {
    u32 topic, action;
    Kind kind;
} DEEPSTREAM_ANSWERS[] = {
    {CONNECTION, 4, CONTROL}, /* accepted */
    {CONNECTION, 3, OTHER},   /* the answer to a keepalive */
    {AUTH, 3, REPLY},         /* successful */
    {RECORD, 4, SEAT},        /* what was read */
    {RECORD, 14, REPLY},      /* written */
    {RECORD, UPDATE, PUSH},
    {RECORD, SUBSCRIBE_CREATE_READ, OTHER}, /* taken on; what was read follows */
};

/* A number: groups of seven bits, the lowest first, all but the last marked. */
static u32 read_varint(const u8 **at, const u8 *end) {
    u64 value = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        u8 group = *(*at)++;
        value |= (u64)(group & 127) << shift;
        if (group < 128) break;
    }
    return (u32)value;
}

static Message judge_deepstream(const u8 *bytes, size_t count) {
    const u8 *at = bytes, *end = bytes + count, *value = end, *value_end = end;
    read_varint(&at, end); /* The size, then the tags of topic and fields. */
    at += at < end;
    u32 topic = read_varint(&at, end), action = 0;
    at += at < end;
    read_varint(&at, end);
    Message message = {.kind = topic == CONNECTION ? CONTROL : REPLY};
    while (at < end) {
        u32 tag = read_varint(&at, end), is = read_varint(&at, end);
        const u8 *text = at;
        if ((tag & 7) == 2) at += (size_t)(end - at) < is ? (size_t)(end - at) : is;
        if (tag == ACTION) action = is;
        else if (tag == VALUE) value = text, value_end = at;
        else if (tag == REQUEST) message.request = decimal(text, at);
        else if (tag == NAME && (text = memchr(text, '/', (size_t)(at - text)))) message.seat = decimal(text + 2, at); /* r<room>/c<seat> */
        else if (tag == VERSION) message.version = is;
    }
    for (size_t i = 0; i < sizeof DEEPSTREAM_ANSWERS / sizeof *DEEPSTREAM_ANSWERS; i++)
        if (DEEPSTREAM_ANSWERS[i].topic == topic && DEEPSTREAM_ANSWERS[i].action == action) message.kind = DEEPSTREAM_ANSWERS[i].kind, message.ok = true;
    if (!message.ok) note_error("refused", bytes, count);
    /* In the value only: among the numbers before it '@' is one like any other. */
    if (message.kind == PUSH && !find_marker(value, (size_t)(value_end - value), &message)) message.kind = OTHER;
    return message;
}

/* The p99 of a whole run hides a bad second in many good ones. Seconds with few deliveries do not count. */
static void end_second(void) {
    double p99 = percentile_ms(&second_in, .99);
    if (second_in.count >= 100 && p99 > worst_second_p99) worst_second_p99 = p99;
    memset(&second_in, 0, sizeof second_in);
    second_ends_at = now + SECOND;
}

static void receive_push(Client *client, const Message *message) {
    if (client->stage < JOINING) return; /* The answer to the listen: what was in the room before. */
    u64 due_at = message->due_at;
    u32 number = message->number;
    Histogram *histogram = options.workload->due == vanish ? &joined_in : &delivered_in;
    if (due_at < SECOND) { /* No time, since the machine has run for longer: the word of one who left, so many times by now. */
        const Client *gone = message->process == options.process && number < options.connections ? &clients[number] : NULL;
        if (!gone || gone->departures != due_at) {
            unknown_messages++;
            return;
        }
        due_at = gone->left_at;
        number = gone->left_number;
        histogram = &left_in;
    }
    if (message->process != options.process) {
        foreign++;
    } else if (number < client->joined_number) {
        early++;
    } else {
        delivered++;
        client->received++;
        client->received_sum += number;
    }
    if (now >= measured_from && now < measured_until) window_deliveries++;
    if (due_at < measured_from || due_at >= measured_until) return;
    record(histogram, now - due_at);
    if (histogram != &delivered_in) record(&delivered_in, now - due_at);
    if (now >= second_ends_at) end_second();
    record(&second_in, now - due_at);
}

static u32 seat_count(void) { return options.workload->rooms == ONE_ROOM ? options.connections : options.room_size; }

/* A whole room: each seat whose value the client has not seen yet is a push. Rooms must fit one frame. */
static void receive_whole(Client *client, const u8 *bytes, size_t count) {
    Message message = {.kind = OTHER};
    const u8 *end = bytes + count;
    if (!client->seen) client->seen = allocate(seat_count(), sizeof *client->seen);
    for (const u8 *at = bytes; (at = memchr(at, '@', (size_t)(end - at))); at++) {
        if (!read_marker(at, end, &message)) continue;
        u32 *seen = &client->seen[seat_of[message.number % SEATS_KEPT]];
        if (*seen == message.number + 1) continue;
        *seen = message.number + 1;
        receive_push(client, &message);
    }
}

static void receive_reply(Client *client, const Message *message) {
    if (client->stage == AUTHENTICATING || client->stage == LISTENING) {
        if (!message->ok) client_close(client, "refused while opening");
        else if (client->stage == AUTHENTICATING) options.workload->opened(client);
        else listening(client);
        return;
    }
    if (client->stage == JOINING && message->request + 2 == client->next_request) { /* The word that it left for its end. */
        if (!message->ok) client_close(client, "refused while opening");
        return;
    }
    u64 *due_at = client->due_at ? &client->due_at[message->request & client->due_mask] : NULL;
    if (!due_at || !*due_at || message->request - client->due_oldest > client->due_mask) {
        unknown_messages++;
        return;
    }
    if (message->ok) acknowledged++;
    else refused++;
    if (now >= measured_from && now < measured_until) window_acknowledged++;
    if (message->ok && !(*due_at & IS_READ) && *due_at >= measured_from && *due_at < measured_until) record(&acknowledged_in, now - *due_at);
    *due_at = 0;
    if (client->stage == JOINING) come_back(client);
}

/* A seat of those that it listens to one by one. */
static void receive_seat(Client *client, const Message *message) {
    if (client->stage != LISTENING) return;
    if (message->seat == client->seat) client->version = message->version;
    if (!--client->unread) listening(client);
}

static void receive_hello(Client *client) {
    record(&connected_in, now - client->asked_at);
    options.dialect->greeted(client);
}

static void receive_message(Client *client, const Message *message) {
    if (message->kind == PUSH) receive_push(client, message);
    else if (message->kind == REPLY) receive_reply(client, message);
    else if (message->kind == SEAT) receive_seat(client, message);
    else if (message->kind == PING) say(client, "%s", options.dialect->pong);
    else if (message->kind == CONTROL && client->stage == GREETING && message->ok) receive_hello(client);
    else if (message->kind == CONTROL && client->stage == GREETING) client_close(client, "no hello");
}

/* ---- Dialects ---- */

static void path_firebase(const Client *client, char *text, size_t room) {
    u32 database = (client->room + options.first_room) % options.databases;
    if (options.databases > 1) snprintf(text, room, "/.ws?v=5&ns=%s-%u", options.ns, database);
    else snprintf(text, room, "/.ws?v=5&ns=%s", options.ns);
}

static void greet_firebase(Client *client) {
    if (!options.auth && !options.auth_count) {
        options.workload->opened(client);
        return;
    }
    client->stage = AUTHENTICATING;
    if (options.auth_count) request(client, "auth", "{\"cred\":\"%s\"}", options.auths[(u32)(client - clients) % options.auth_count]);
    else request(client, "gauth", "{\"cred\":\"%s\"}", options.auth);
}

static void listen_firebase(Client *client) {
    const char *query = options.workload->query ? options.workload->query : "";
    request(client, "q", "{\"p\":\"/rooms/r%u\",\"h\":\"\"%s}", client->room + options.first_room, query);
}

static int write_firebase(const Client *client, char *text, u32 number, u32 value_bytes) {
    (void)value_bytes;
    char key[32];
    if (options.workload->messages) snprintf(key, sizeof key, "m%010u-%u", write_number, options.process);
    else snprintf(key, sizeof key, "c%u", client->seat);
    return sprintf(text, "{\"t\":\"d\",\"d\":{\"r\":%u,\"a\":\"p\",\"b\":{\"p\":\"/rooms/r%u/%s\",\"d\":", number,
                   client->room + options.first_room, key);
}

/* A write of our own clients, which nobody answers. */
static int write_volatile(const Client *client, char *text, u32 number, u32 value_bytes) {
    (void)number, (void)value_bytes;
    return sprintf(text, "{\"t\":\"d\",\"d\":{\"a\":\"v\",\"b\":{\"p\":\"/rooms/r%u/c%u\",\"d\":", client->room + options.first_room, client->seat);
}

/* A relay (relay.c): the path is the room, and what comes in a frame goes to all in it. */
static void path_relay(const Client *client, char *text, size_t room) {
    snprintf(text, room, "/r%u", client->room + options.first_room);
}

static int write_relay(const Client *client, char *text, u32 number, u32 value_bytes) {
    (void)client, (void)text, (void)number, (void)value_bytes;
    return 0;
}

static void path_socketio(const Client *client, char *text, size_t room) {
    (void)client;
    snprintf(text, room, "/socket.io/?EIO=4&transport=websocket");
}

static void greet_socketio(Client *client) {
    client->stage = AUTHENTICATING;
    say(client, "40");
}

static void listen_socketio(Client *client) {
    say(client, "42%u[\"join\",\"r%u\"]", client->next_request++, client->room + options.first_room);
}

static int write_socketio(const Client *client, char *text, u32 number, u32 value_bytes) {
    (void)client, (void)value_bytes;
    return sprintf(text, "42%u[\"write\",", number);
}

static void greet_nats(Client *client) {
    client->stage = AUTHENTICATING;
    say(client, "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"lang\":\"c\"}\r\nPING\r\n");
}

static void listen_nats(Client *client) {
    say(client, "SUB rooms.r%u 1\r\nPING\r\n", client->room + options.first_room);
}

static int write_nats(const Client *client, char *text, u32 number, u32 value_bytes) {
    (void)number;
    return sprintf(text, "PUB rooms.r%u %u\r\n", client->room + options.first_room, value_bytes);
}

/* JetStream: the stream answers each message at the subject that it names once it has kept it. */
static void listen_jetstream(Client *client) {
    say(client, "SUB rooms.r%u.* 1\r\nSUB _INBOX.%u.%u.* 2\r\nPING\r\n", client->room + options.first_room, options.process,
        (u32)(client - clients));
}

static int write_jetstream(const Client *client, char *text, u32 number, u32 value_bytes) {
    return sprintf(text, "PUB rooms.r%u.c%u _INBOX.%u.%u.%u %u\r\n", client->room + options.first_room, client->seat, options.process,
                   (u32)(client - clients), number, value_bytes);
}

/* deepstream's messages, see judge_deepstream. Each of these answers how many bytes it put. */
static int put_varint(char *text, u32 value) {
    int used = 0;
    for (; value > 127; value >>= 7) text[used++] = (char)(value | 128);
    text[used++] = (char)value;
    return used;
}

static int put_number(char *text, u32 tag, u32 value) {
    int used = put_varint(text, tag);
    return used + put_varint(text + used, value);
}

/* A name, or another text of less than 128 bytes. */
static int put_text(char *text, u32 tag, const char *format, ...) {
    char words[128];
    va_list arguments;
    va_start(arguments, format);
    u32 count = (u32)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    int used = put_number(text, tag, count);
    memcpy(text + used, words, count);
    return used + (int)count;
}

/* What comes before the fields, and these; `more` bytes of the last one are still to come. */
static int put_message(char *text, u32 topic, const char *fields, u32 count, u32 more) {
    char head[16];
    int used = put_number(head, TOPIC, topic);
    used += put_number(head + used, FIELDS, count + more);
    int size = put_varint(text, (u32)used + count + more);
    memcpy(text + size, head, (size_t)used);
    memcpy(text + size + used, fields, count);
    return size + used + (int)count;
}

static void path_deepstream(const Client *client, char *text, size_t room) {
    (void)client;
    snprintf(text, room, "/deepstream");
}

static void challenge_deepstream(Client *client) {
    say(client, "\x06\x10\x02\x1a\x02\x08\x05"); /* Action 5 of the connection. */
}

static void greet_deepstream(Client *client) {
    client->stage = AUTHENTICATING;
    say(client, "\x0a\x10\x03\x1a\x06\x08\x02\x12\x02{}"); /* Action 2 of auth: as nobody in particular. */
}

/* All seats of the room in one request; the room is listened to once each has been read. */
static void listen_deepstream(Client *client) {
    static char text[VALUE_BYTES_MAX], fields[VALUE_BYTES_MAX - 64];
    client->unread = seat_count();
    if (client->unread > sizeof fields / 32) fail("a room of %u seats is too large to listen to them one by one", client->unread);
    int used = put_number(fields, ACTION, SUBSCRIBE_CREATE_READ);
    used += put_text(fields + used, REQUEST, "0");
    for (u32 seat = 0; seat < client->unread; seat++)
        used += put_text(fields + used, NAMES, "r%u/c%u", client->room + options.first_room, seat);
    send_message(client, text, (u32)put_message(text, RECORD, fields, (u32)used, 0));
}

/* A write says which version of the record it is, and is refused where that is not the next. */
static int write_deepstream(const Client *client, char *text, u32 number, u32 value_bytes) {
    char fields[256];
    int used = put_number(fields, ACTION, UPDATE);
    used += put_text(fields + used, REQUEST, "%u", number);
    used += put_text(fields + used, NAME, "r%u/c%u", client->room + options.first_room, client->seat);
    used += put_number(fields + used, ACKNOWLEDGE, 1);
    used += put_number(fields + used, VERSION, client->version + number);
    used += put_number(fields + used, VALUE, value_bytes);
    return put_message(text, RECORD, fields, (u32)used, value_bytes);
}

static const Dialect DIALECTS[] = {
    {"firebase", "the realtime protocol", .counts = true, .path = path_firebase, .greeted = greet_firebase, .listen = listen_firebase,
     .write_head = write_firebase, .write_tail = "}}}", .keepalive = "0", .judge = judge_firebase},
    {"volatile", "the same with writes that are volatile and not answered", .counts = true, .silent = true, .path = path_firebase,
     .greeted = greet_firebase, .listen = listen_firebase, .write_head = write_volatile, .write_tail = "}}}", .keepalive = "0",
     .judge = judge_firebase},
    {"whole", "the same from a server that pushes the whole room at each write", .counts = true, .whole = true, .path = path_firebase,
     .greeted = greet_firebase, .listen = listen_firebase, .write_head = write_firebase, .write_tail = "}}}", .keepalive = "0", .judge = judge_firebase},
    {"relay", "each frame goes to all of the room that the path names", .silent = true, .path = path_relay, .upgraded = receive_hello,
     .greeted = greet_firebase, .listen = listening, .write_head = write_relay, .write_tail = "", .keepalive = "0",
     .judge = judge_relay},
    {"socketio", "Socket.IO 4: join and write are events with acknowledgements", .path = path_socketio, .greeted = greet_socketio,
     .listen = listen_socketio, .write_head = write_socketio, .write_tail = "]", .pong = "3", .judge = judge_socketio},
    {"deepstream", "deepstream 7: a record for each seat, of which its writer is not told again", .binary = true, .unechoed = true,
     .path = path_deepstream, .upgraded = challenge_deepstream, .greeted = greet_deepstream, .listen = listen_deepstream,
     .write_head = write_deepstream, .write_tail = "", .keepalive = "\x06\x10\x02\x1a\x02\x08\x02", .judge = judge_deepstream},
    {"nats", "NATS over TCP: a room is a subject", .raw = true, .silent = true, .greeted = greet_nats, .listen = listen_nats,
     .write_head = write_nats, .write_tail = "\r\n", .pong = "PONG\r\n", .judge = judge_relay},
    {"jetstream", "the same with a stream that keeps and acknowledges", .raw = true, .greeted = greet_nats, .listen = listen_jetstream,
     .write_head = write_jetstream, .write_tail = "\r\n", .pong = "PONG\r\n", .judge = judge_relay},
};
#define DIALECT_COUNT (sizeof DIALECTS / sizeof *DIALECTS)

/* ---- Frames ---- */

/* "12" and nothing else announces that the next 12 frames are one message; 0 is a keepalive. */
static bool is_count(const u8 *bytes, size_t count, u32 *value) {
    if (count == 0 || count > 6) return false;
    u32 result = 0;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') return false;
        result = result * 10 + (u32)(bytes[i] - '0');
    }
    *value = result;
    return true;
}

/* A text, binary or continuation frame; `whole` is false for a long one of which only the beginning is at hand. */
static void receive_text(Client *client, const u8 *bytes, size_t count, bool final, bool whole) {
    u32 pieces;
    if (options.dialect->counts && !client->in_message && !client->pieces && whole && final && is_count(bytes, count, &pieces)) {
        client->pieces = pieces;
        return;
    }
    if (!client->in_message) {
        client->message = options.dialect->judge(bytes, count);
        client->in_message = true;
    }
    if (!whole) return;
    if (client->message.kind == PUSH && options.dialect->whole) {
        receive_whole(client, bytes, count);
        client->message.kind = NOTHING;
    }
    if (final && client->pieces) client->pieces--;
    if (!final || client->pieces) return;
    client->in_message = false;
    receive_message(client, &client->message);
}

/* Takes the frames at the front of `bytes`; answers how many bytes they were. */
static size_t receive_frames(Client *client, const u8 *bytes, size_t count) {
    size_t at = 0;
    while (client->stage != CLOSED) {
        if (client->skip_bytes) {
            u64 skipped = count - at < client->skip_bytes ? count - at : client->skip_bytes;
            client->skip_bytes -= skipped;
            at += skipped;
            if (client->skip_bytes) return at;
            receive_text(client, bytes, 0, client->skip_final, true);
            continue;
        }
        if (count - at < 2) return at;
        const u8 *frame = bytes + at;
        u64 size = frame[1] & 127;
        u32 head = size == 126 ? 4 : size == 127 ? 10 : 2;
        if (count - at < head) return at;
        if (head == 4) size = (u64)frame[2] << 8 | frame[3];
        if (head == 10) for (size = 0, head = 2; head < 10; head++) size = size << 8 | frame[head];
        u8 opcode = frame[0] & 15;
        bool final = frame[0] & 128;
        if (frame[1] & 128) {
            client_close(client, "masked frame from the server");
        } else if (count - at < head + size) {
            if (opcode > 2 || head + size <= HELD_BYTES_MAX || count - at < head + 4096) return at;
            receive_text(client, frame + head, count - at - head, final, false);
            client->skip_bytes = size;
            client->skip_final = final;
            at += head;
            continue;
        } else if (opcode <= 2) {
            receive_text(client, frame + head, size, final, true);
        } else if (opcode == 9) {
            send_frame(client, 10, (const char *)frame + head, (u32)size);
        } else if (opcode == 8) {
            note_error("server closed", frame + head + 2, size > 2 ? size - 2 : 0);
            client_close(client, "closed by the server");
        }
        at += head + size;
    }
    return count;
}

static size_t receive_upgrade(Client *client, const u8 *bytes, size_t count) {
    const u8 *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return 0;
    if (count < 12 || memcmp(bytes + 8, " 101", 4)) {
        note_error("no upgrade", bytes, (size_t)(end - bytes));
        const u8 *hint = memmem(bytes, (size_t)(end - bytes), "Retry-After: ", 13);
        if (hint) client->return_at = now + decimal(hint + 13, end) * SECOND;
        client_close(client, "no upgrade");
        return count;
    }
    client->stage = GREETING;
    size_t head = (size_t)(end - bytes) + 4;
    if (options.dialect->upgraded) options.dialect->upgraded(client);
    if (client->stage == CLOSED) return count;
    return head + receive_frames(client, bytes + head, count - head);
}

/* NATS: lines, and after MSG so many bytes. */
static size_t receive_lines(Client *client, const u8 *bytes, size_t count) {
    size_t at = 0;
    while (client->stage != CLOSED) {
        const u8 *line = bytes + at, *end = memmem(line, count - at, "\r\n", 2);
        if (!end) break;
        size_t used = (size_t)(end - line) + 2;
        Message message = {.kind = OTHER};
        if (!memcmp(line, "MSG ", 4)) {
            const u8 *size_at = memrchr(line, ' ', (size_t)(end - line));
            size_t size = decimal(size_at + 1, end);
            if (count - at < used + size + 2) break;
            message = options.dialect->judge(line + used, size);
            if (!memcmp(line, "MSG _INBOX.", 11)) { /* MSG _INBOX.<process>.<client>.<request> 2 <size> */
                const u8 *subject_end = memchr(line + 4, ' ', (size_t)(end - line) - 4);
                const u8 *dot = memrchr(line, '.', (size_t)(subject_end - line));
                message = (Message){.kind = REPLY, .request = decimal(dot + 1, subject_end)};
                message.ok = memmem(bytes + at + used, size, "\"seq\"", 5) != NULL;
                if (!message.ok) note_error("refused", bytes + at + used, size);
            }
            used += size + 2;
        } else if (!memcmp(line, "PI", 2)) {
            message.kind = PING;
        } else if (!memcmp(line, "PO", 2)) {
            message = (Message){.kind = REPLY, .ok = true};
        } else if (!memcmp(line, "IN", 2)) {
            message = (Message){.kind = CONTROL, .ok = true};
        } else {
            note_error("unexpected line", line, used - 2);
        }
        at += used;
        receive_message(client, &message);
    }
    return client->stage == CLOSED ? count : at;
}

static size_t receive_some(Client *client, const u8 *bytes, size_t count) {
    if (options.dialect->raw) return receive_lines(client, bytes, count);
    return client->stage == UPGRADING ? receive_upgrade(client, bytes, count) : receive_frames(client, bytes, count);
}

/* Edge-triggered: reads until the socket is empty. The clock is read once a call, after it: later than the bytes, never earlier. */
static void receive(Client *client) {
    for (;;) {
        u32 before = client->held_bytes;
        if (before) memcpy(read_buffer, client->held, before);
        ssize_t took = recv(client->fd, read_buffer + before, READ_BYTES, 0);
        if (took < 0 && errno == EAGAIN) return;
        if (took <= 0) {
            client_close(client, took ? strerror(errno) : "end of stream");
            return;
        }
        now = clock_now();
        reads++;
        read_bytes += (u64)took;
        size_t count = before + (size_t)took;
        size_t used = receive_some(client, read_buffer, count);
        if (client->stage == CLOSED) return;
        u32 rest = (u32)(count - used);
        if (rest > HELD_BYTES_MAX) {
            client_close(client, "an unfinished head or frame is too long");
            return;
        }
        if (rest) {
            client->held = realloc(client->held, rest);
            if (!client->held) fail("out of memory for an unfinished frame");
            memcpy(client->held, read_buffer + used, rest);
        } else if (before) {
            free(client->held);
            client->held = NULL;
        }
        client->held_bytes = rest;
        if (took < READ_BYTES) return;
    }
}

/* ---- Connections ---- */

/* The heap of those who are away, by when they are due. */
static void await_return(Client *client, u64 return_at) {
    u32 at = returning_count++;
    client->return_at = return_at;
    for (; at && clients[returning[(at - 1) / 2]].return_at > return_at; at = (at - 1) / 2) returning[at] = returning[(at - 1) / 2];
    returning[at] = (u32)(client - clients);
}

static u32 take_returning(void) {
    u32 first = returning[0], last = returning[--returning_count], at = 0;
    for (;;) {
        u32 child = at * 2 + 1;
        if (child >= returning_count) break;
        if (child + 1 < returning_count && clients[returning[child + 1]].return_at < clients[returning[child]].return_at) child++;
        if (clients[returning[child]].return_at >= clients[last].return_at) break;
        returning[at] = returning[child];
        at = child;
    }
    returning[at] = last;
    return first;
}

static u64 return_due(void) { return returning_count ? clients[returning[0]].return_at : NEVER; }

/* Closes the socket and forgets what was under way. */
static void client_end(Client *client) {
    client->stage = CLOSED;
    client->outbox_bytes = client->held_bytes = client->pieces = 0;
    client->in_message = false;
    client->skip_bytes = 0;
    free(client->held);
    free(client->due_at);
    client->held = NULL;
    client->due_at = NULL;
    close(client->fd);
}

static void client_close(Client *client, const char *why) {
    if (client->stage == CLOSED) return;
    if (why) note_error(client->stage == READY ? "lost" : "failed to open", (const u8 *)why, strlen(why));
    if (client->stage >= JOINING && options.workload->rooms != NO_ROOM) {
        Room *room = &rooms[client->room];
        room->listeners--;
        client->expected = room->written - client->joined;
        client->expected_sum = room->written_sum - client->joined_sum;
    }
    bool was_ready = client->stage == READY;
    client_end(client);
    if (was_ready) {
        ready--;
        lost++;
        return;
    }
    opening--;
    if (!options.workload->returns) {
        failed++;
        return;
    }
    retries++;
    client->expected = client->received = 0;
    u64 hint = client->return_at > now ? client->return_at : now + RETRY_SECONDS * SECOND;
    await_return(client, hint + random_next() % (SECOND / 2));
}

/* On purpose. What the room still owes the client is forgiven. */
static void client_leave(Client *client, u64 return_at) {
    Room *room = &rooms[client->room];
    room->listeners--;
    ready--;
    expected_total -= room->written - client->joined;
    expected_total += client->received;
    client->received = 0;
    client->received_sum = 0;
    client->expected = 0;
    client->expected_sum = 0;
    client_end(client);
    await_return(client, return_at);
}

static void client_open(u32 index) {
    Client *client = &clients[index];
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) fail("socket %u: %s; raise the limit of open files", index, strerror(errno));
    int on = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    inet_pton(AF_INET, options.host, &target.sin_addr);
    if (ntohl(target.sin_addr.s_addr) >> 24 == 127) {
        /* The port is chosen at connect, so one address serves as many connections as there are ephemeral ports. */
        setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        u32 address = (127u << 24) + options.first_source + index % options.sources;
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
        if (bind(client->fd, (struct sockaddr *)&source, sizeof source)) fail("bind to 127.x address %u: %s", address, strerror(errno));
    }
    client->stage = CONNECTING;
    client->asked_at = now;
    client->next_request = 1;
    opened++;
    opening++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | EPOLLOUT, .data.ptr = client};
    client->want_out = true;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
    if (connect(client->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS) client_close(client, strerror(errno));
}

static void client_connected(Client *client) {
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem) {
        client_close(client, strerror(problem));
        return;
    }
    if (options.dialect->raw) {
        client->stage = GREETING;
        watch(client, false);
        return;
    }
    char path[128], head[512];
    options.dialect->path(client, path, sizeof path);
    int count = snprintf(head, sizeof head,
                         "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: bWVhZG93bGFyay1sb2FkIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                         path, options.host, options.port);
    client->stage = UPGRADING;
    watch(client, false);
    send_bytes(client, (const u8 *)head, (u32)count);
}

/* ---- The loop ---- */

static void connect_due(void) {
    if (opened >= options.connections) {
        next_connect_at = NEVER;
        return;
    }
    if (opening < OPENING_MAX) client_open(opened);
    next_connect_at += SECOND / options.connect_rate;
    if (next_connect_at + SECOND / 10 < now) next_connect_at = now; /* Held back by OPENING_MAX: no burst to catch up. */
}

static u64 gap_to_next_write(void) {
    if (!options.poisson) return write_gap;
    double share = ((double)(random_next() >> 11) + 1) / 9007199254740993.0;
    return (u64)(-log(share) * (double)write_gap);
}

/* Late writes are made up for, each with its own due time: that is the open loop. */
static void write_due(void) {
    for (u32 made = 0; made < DUE_BATCH_MAX && next_write_at <= now; made++) {
        if (next_write_at >= measured_from) window_writes++;
        options.workload->due(next_write_at);
        next_write_at += gap_to_next_write();
        if (next_write_at >= writes_end_at) next_write_at = NEVER;
        now = clock_now();
    }
}

/* As the SDKs do on a silent connection. Clients that write are sent them too: the server's cost is one tiny frame in 45 s. */
static void keepalive_due(void) {
    Client *client = &clients[keepalive_index];
    keepalive_index = keepalive_index + 1 < options.connections ? keepalive_index + 1 : 0;
    if (client->stage == READY && options.dialect->keepalive) say(client, "%s", options.dialect->keepalive);
    next_keepalive_at += keepalive_gap;
}

/* In batches, so that those who are back already are served meanwhile. */
static void returns_due(void) {
    for (u32 made = 0; made < DUE_BATCH_MAX && return_due() <= now; made++) client_open(take_returning());
}

static void due(void) {
    if (next_write_at <= now) write_due();
    if (next_connect_at <= now) connect_due();
    if (next_keepalive_at <= now) keepalive_due();
}

static void client_event(Client *client, u32 events) {
    if (client->stage == CLOSED) return;
    if (client->stage == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) client_connected(client);
    else if (client->stage != CONNECTING && events & EPOLLOUT && client->outbox_bytes) flush_outbox(client);
    if (client->stage > CONNECTING && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) receive(client);
}

static u64 earliest(u64 a, u64 b) { return a < b ? a : b; }

static void turn(u64 until) {
    struct epoll_event events[EVENTS_MAX];
    u64 before = now = clock_now();
    if (return_due() <= now) returns_due(); /* Only here: later in the turn there may be events of their last sockets. */
    u64 wake_at = earliest(earliest(until, next_write_at), earliest(earliest(next_connect_at, next_keepalive_at), return_due()));
    u64 wait = wake_at > now && !options.spin ? wake_at - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
    /* The plain epoll_wait counts milliseconds: too coarse for due times half a millisecond apart. */
    long count = syscall(SYS_epoll_pwait2, poller, events, EVENTS_MAX, &timeout, NULL, (size_t)0);
    if (count < 0 && errno != EINTR) fail("epoll_pwait2: %s (Linux 5.11 or newer is needed)", strerror(errno));
    now = clock_now();
    if (count == 0) idle_nanoseconds += now - before;
    due();
    for (long i = 0; i < count; i++) {
        if (!events[i].data.ptr) {
            paused = false;
            epoll_ctl(poller, EPOLL_CTL_DEL, 0, NULL);
            continue;
        }
        client_event(events[i].data.ptr, events[i].events);
        if (next_write_at <= now) due();
    }
}

/* ---- Phases ---- */

static void announce(const char *event) {
    printf("{\"event\":\"%s\",\"at\":%llu,\"ready\":%u,\"failed\":%u}\n", event, (unsigned long long)clock_now(), ready, failed);
    fflush(stdout);
}

static void connect_phase(void) {
    now = next_connect_at = clock_now();
    u64 progress_at = now;
    u32 progress = 0;
    while (ready + failed + lost < options.connections) {
        turn(now + SECOND);
        if (ready != progress) progress = ready, progress_at = now;
        if (now - progress_at > OPENING_SECONDS_MAX * SECOND) {
            note_error("gave up", (const u8 *)"no client became ready for a minute", 35);
            break;
        }
    }
    next_connect_at = NEVER;
    if (options.keepalive > 0) {
        keepalive_gap = (u64)(options.keepalive * SECOND) / options.connections + 1;
        next_keepalive_at = now + keepalive_gap;
    }
    announce("connected");
}

static void pause_phase(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (!options.pause || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event)) return;
    for (paused = true; paused;) turn(now + SECOND);
    char line[64];
    if (read(0, line, sizeof line) < 0) fail("standard input: %s", strerror(errno));
}

static void run_until(u64 until) {
    while ((now = clock_now()) < until) turn(until);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

typedef struct {
    double cpu_seconds, idle_seconds;
} Spent;

static Spent spent_so_far(void) {
    return (Spent){cpu_seconds(), (double)idle_nanoseconds / SECOND};
}

/* Warm-up writes are sent and checked like the others; only the measured ones enter the histograms. Answers what measuring cost. */
static Spent write_phase(void) {
    now = clock_now();
    u64 start = now + SECOND / 100;
    measured_from = start + (u64)(options.warmup * SECOND);
    measured_until = writes_end_at = measured_from + (u64)(options.seconds * SECOND);
    if (options.workload->due && !options.idle && options.writes_per_second > 0) {
        write_gap = (u64)(SECOND / options.writes_per_second);
        next_write_at = start;
    }
    run_until(measured_from);
    Spent before = spent_so_far();
    announce("measuring");
    run_until(measured_until);
    Spent after = spent_so_far();
    announce("measured");
    return (Spent){after.cpu_seconds - before.cpu_seconds, after.idle_seconds - before.idle_seconds};
}

static void drain_phase(void) {
    u64 until = clock_now() + (u64)(options.drain * SECOND);
    while ((now = clock_now()) < until && (next_write_at != NEVER || returning_count || opening ||
                                                    (!options.dialect->silent && acknowledged + refused < sent) || delivered < expected_total))
        turn(earliest(until, now + SECOND / 10));
}

/* ---- Report ---- */

static void print_histogram(const char *name, const Histogram *histogram) {
    printf(",\"%s\":{\"count\":%llu,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f", name,
           (unsigned long long)histogram->count, histogram->count ? (double)histogram->sum / (double)histogram->count / 1e6 : 0,
           percentile_ms(histogram, .5), percentile_ms(histogram, .9), percentile_ms(histogram, .99), percentile_ms(histogram, .999),
           (double)histogram->max / 1e6);
    if (options.buckets) {
        const char *comma = "";
        printf(",\"buckets\":[");
        for (u32 index = 0; index < BUCKETS; index++)
            if (histogram->buckets[index]) {
                printf("%s[%llu,%llu]", comma, (unsigned long long)bucket_top(index), (unsigned long long)histogram->buckets[index]);
                comma = ",";
            }
        printf("]");
    }
    printf("}");
}

static void report(Spent spent) {
    u64 missing = 0, extra = 0, mixed_up = 0;
    for (u32 i = 0; i < options.connections && options.workload->rooms != NO_ROOM; i++) {
        Client *client = &clients[i];
        if (client->stage == READY) {
            client->expected = rooms[client->room].written - client->joined;
            client->expected_sum = rooms[client->room].written_sum - client->joined_sum;
        }
        if (client->received < client->expected) missing += client->expected - client->received;
        if (client->received > client->expected) extra += client->received - client->expected;
        mixed_up += client->received == client->expected && client->received_sum != client->expected_sum;
    }
    printf("{\"event\":\"report\",\"workload\":\"%s\",\"dialect\":\"%s\",\"connections\":%u,\"ready\":%u,\"failed\":%u,\"lost\":%u,\"rooms\":%u,\"databases\":%u",
           options.workload->name, options.dialect->name, options.connections, ready, failed, lost, room_count, options.databases);
    printf(",\"seconds\":%.3f,\"writes_per_second_asked\":%.1f,\"value_bytes\":%u", options.seconds, options.writes_per_second,
           options.value_bytes);
    printf(",\"writes\":%llu,\"writes_unsent\":%llu,\"acknowledged\":%llu,\"refused\":%llu,\"unacknowledged\":%llu", (unsigned long long)sent,
           (unsigned long long)unsent, (unsigned long long)acknowledged, (unsigned long long)refused,
           (unsigned long long)(options.dialect->silent ? 0 : sent - acknowledged - refused));
    printf(",\"departures\":%llu,\"retries\":%llu,\"away\":%u,\"deliveries_early\":%llu", (unsigned long long)departures,
           (unsigned long long)retries, returning_count + opening, (unsigned long long)early);
    printf(",\"deliveries\":%llu,\"deliveries_missing\":%llu,\"deliveries_extra\":%llu,\"listeners_mixed_up\":%llu,\"deliveries_foreign\":%llu",
           (unsigned long long)delivered, (unsigned long long)missing, (unsigned long long)extra, (unsigned long long)mixed_up,
           (unsigned long long)foreign);
    printf(",\"writes_per_second\":%.1f,\"acknowledged_per_second\":%.1f,\"deliveries_per_second\":%.1f", (double)window_writes / options.seconds,
           (double)window_acknowledged / options.seconds, (double)window_deliveries / options.seconds);
    print_histogram("delivered_ms", &delivered_in);
    print_histogram("acknowledged_ms", &acknowledged_in);
    print_histogram("sent_late_ms", &sent_late);
    print_histogram("connect_ms", &connected_in);
    print_histogram("listen_ms", &listened_in);
    print_histogram("left_ms", &left_in);
    print_histogram("joined_ms", &joined_in);
    print_histogram("back_ms", &back_in);
    printf(",\"reads\":%llu,\"read_bytes\":%llu,\"unknown_messages\":%llu", (unsigned long long)reads, (unsigned long long)read_bytes,
           (unsigned long long)unknown_messages);
    end_second();
    printf(",\"worst_second_p99\":%.4f", worst_second_p99);
    /* A spinning generator always uses its whole core: what it needed is the time in which it found something to do. */
    double busy = options.spin ? 1 - spent.idle_seconds / options.seconds : spent.cpu_seconds / options.seconds;
    printf(",\"spin\":%s,\"cpu_seconds\":%.3f,\"busy_share\":%.3f,\"first_error\":\"%s\"}\n", options.spin ? "true" : "false",
           spent.cpu_seconds, busy, first_error);
}

/* ---- Options ---- */

static void usage(FILE *out) {
    fputs("usage: load [options]\n"
          "  --host ADDRESS --port N         server (IPv4 address; 127.0.0.1:9000)\n"
          "  --ns NAME --databases N         database; with N > 1 the rooms are spread over NAME-0 … NAME-(N-1)\n"
          "  --auth CREDENTIAL               sent as gauth on every connection\n"
          "  --auth-file FILE                tokens, one a line: each client signs in with the next\n"
          "  --workload NAME                 see below (rooms)\n"
          "  --dialect NAME                  how the server is spoken to, see below (firebase)\n"
          "  --away S                        presence: how long one who vanished stays away (2)\n"
          "  --idle                          open and listen as the workload does, but do not write\n"
          "  --connections N --room-size N   clients (1000) and how many share a room (10)\n"
          "  --connect-rate N                clients opened a second (2000)\n"
          "  --writes-per-second N           in total, open loop (2000)\n"
          "  --arrivals even|poisson         gaps between writes (even)\n"
          "  --value-bytes N                 JSON bytes of a written value (64)\n"
          "  --warmup S --seconds S --drain S   seconds before measuring (2), measured (10), waiting for the rest (5)\n"
          "  --keepalive S                   each client sends a keepalive so often, 0 never (45)\n"
          "  --source-addresses N            loopback addresses to connect from (one per 20,000 connections)\n"
          "  --first-source N                the first of them, 127.0.0.N (1)\n"
          "  --process K --first-room N      several generators at once: their number (0-255), their first room\n"
          "  --pause                         when all are connected, wait for a line on standard input\n"
          "  --spin                          poll instead of sleeping: needs a core of its own, spares the server waking it\n"
          "  --buckets                       print whole histograms: [highest ns, count]\n"
          "workloads:\n",
          out);
    for (size_t i = 0; i < WORKLOAD_COUNT; i++) fprintf(out, "  %-8s %s\n", WORKLOADS[i].name, WORKLOADS[i].question);
    fputs("dialects:\n", out);
    for (size_t i = 0; i < DIALECT_COUNT; i++) fprintf(out, "  %-8s %s\n", DIALECTS[i].name, DIALECTS[i].what);
}

static const Dialect *find_dialect(const char *name) {
    for (size_t i = 0; i < DIALECT_COUNT; i++)
        if (!strcmp(DIALECTS[i].name, name)) return &DIALECTS[i];
    fail("no dialect is called %s; see --help", name);
    return NULL;
}

static const Workload *find_workload(const char *name) {
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        if (!strcmp(WORKLOADS[i].name, name)) return &WORKLOADS[i];
    fail("no workload is called %s; see --help", name);
    return NULL;
}

static bool is_poisson(const char *arrivals) {
    if (strcmp(arrivals, "poisson") && strcmp(arrivals, "even")) fail("--arrivals takes even or poisson, not %s", arrivals);
    return !strcmp(arrivals, "poisson");
}

static void read_auths(const char *name) {
    FILE *file = fopen(name, "r");
    char *line = NULL;
    size_t room = 0;
    if (!file) fail("--auth-file %s: %s", name, strerror(errno));
    for (ssize_t used; (used = getline(&line, &room, file)) > 0; line = NULL, room = 0) {
        line[strcspn(line, "\r\n")] = 0;
        options.auths = realloc(options.auths, (options.auth_count + 1) * sizeof *options.auths);
        if (!options.auths) fail("out of memory for the tokens of %s", name);
        options.auths[options.auth_count++] = line;
    }
    fclose(file);
    if (!options.auth_count) fail("--auth-file %s has no line", name);
}

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= least && value <= most)) fail("--%s takes a number from %g to %g, not %s", name, least, most, text);
    return value;
}

typedef enum { TEXT, COUNT, REAL, FLAG } OptionKind;

/* One row per option: where it is kept and what it may be. */
static const struct {
    const char *name;
    OptionKind kind;
    void *kept;
    double least, most;
} OPTIONS[] = {
    {"host", TEXT, &options.host, 0, 0},
    {"ns", TEXT, &options.ns, 0, 0},
    {"auth", TEXT, &options.auth, 0, 0},
    {"port", COUNT, &options.port, 1, 65535},
    {"databases", COUNT, &options.databases, 1, 1000000},
    {"connections", COUNT, &options.connections, 1, 1000000},
    {"room-size", COUNT, &options.room_size, 1, 1000000},
    {"connect-rate", COUNT, &options.connect_rate, 1, 1000000},
    {"value-bytes", COUNT, &options.value_bytes, MARKER_BYTES + 8, VALUE_BYTES_MAX},
    {"source-addresses", COUNT, &options.sources, 1, 250},
    {"first-source", COUNT, &options.first_source, 1, 250},
    {"process", COUNT, &options.process, 0, 255},
    {"first-room", COUNT, &options.first_room, 0, 1e9},
    {"writes-per-second", REAL, &options.writes_per_second, 0, 1e7},
    {"seconds", REAL, &options.seconds, 0.1, 1e6},
    {"warmup", REAL, &options.warmup, 0, 1e6},
    {"drain", REAL, &options.drain, 0, 1e6},
    {"keepalive", REAL, &options.keepalive, 0, 1e6},
    {"away", REAL, &options.away, 0, 1e6},
    {"idle", FLAG, &options.idle, 0, 0},
    {"pause", FLAG, &options.pause, 0, 0},
    {"buckets", FLAG, &options.buckets, 0, 0},
    {"spin", FLAG, &options.spin, 0, 0},
    {"workload", TEXT, NULL, 0, 0},
    {"dialect", TEXT, NULL, 0, 0},
    {"arrivals", TEXT, NULL, 0, 0},
    {"auth-file", TEXT, NULL, 0, 0},
    {"help", FLAG, NULL, 0, 0},
};
#define OPTION_COUNT (sizeof OPTIONS / sizeof *OPTIONS)

static void take_option(size_t index, const char *text) {
    const char *name = OPTIONS[index].name;
    void *kept = OPTIONS[index].kept;
    if (!strcmp(name, "help")) usage(stdout), exit(0);
    else if (!strcmp(name, "workload")) options.workload = find_workload(text);
    else if (!strcmp(name, "dialect")) options.dialect = find_dialect(text);
    else if (!strcmp(name, "arrivals")) options.poisson = is_poisson(text);
    else if (!strcmp(name, "auth-file")) read_auths(text);
    else if (OPTIONS[index].kind == FLAG) *(bool *)kept = true;
    else if (OPTIONS[index].kind == TEXT) *(const char **)kept = text;
    else if (OPTIONS[index].kind == COUNT) *(u32 *)kept = (u32)number(name, text, OPTIONS[index].least, OPTIONS[index].most);
    else *(double *)kept = number(name, text, OPTIONS[index].least, OPTIONS[index].most);
}

static void read_options(int count, char **words) {
    struct option table[OPTION_COUNT + 1] = {0};
    for (size_t i = 0; i < OPTION_COUNT; i++)
        table[i] = (struct option){OPTIONS[i].name, OPTIONS[i].kind == FLAG ? no_argument : required_argument, NULL, 0};
    options.workload = &WORKLOADS[0];
    options.dialect = &DIALECTS[0];
    int index, found;
    while ((found = getopt_long(count, words, "", table, &index)) == 0) take_option((size_t)index, optarg);
    if (found != -1 || optind < count) usage(stderr), exit(2);
    struct in_addr address;
    if (inet_pton(AF_INET, options.host, &address) != 1) fail("--host takes an IPv4 address, not %s", options.host);
    if (options.workload->query && options.dialect->listen != listen_firebase) fail("%s is for the realtime protocol", options.workload->name);
    if (!options.sources) options.sources = (options.connections + PER_ADDRESS - 1) / PER_ADDRESS;
}

/* ---- Beginning ---- */

static void raise_open_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < options.connections + 16)
        fail("%u connections need as many open files, the limit is %llu: use several processes", options.connections,
             (unsigned long long)limit.rlim_max);
}

static void seat_clients(void) {
    u32 size = options.workload->rooms == ROOMS_OF_SIZE ? options.room_size : options.connections;
    room_count = (options.connections + size - 1) / size;
    clients = allocate(options.connections, sizeof *clients);
    rooms = allocate(room_count, sizeof *rooms);
    turns = allocate(options.connections, sizeof *turns);
    returning = allocate(options.connections, sizeof *returning);
    for (u32 i = 0; i < options.connections; i++) {
        clients[i].room = i / size;
        clients[i].seat = i % size;
        turns[i] = i;
    }
    for (u32 i = options.connections - 1; i > 0; i--) { /* Shuffled, always alike: neighbours in time are not room mates. */
        u32 other = (u32)(random_next() % (i + 1)), kept = turns[i];
        turns[i] = turns[other];
        turns[other] = kept;
    }
}

int main(int count, char **words) {
    read_options(count, words);
    raise_open_files();
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); /* The default of 50 µs would show in every latency. */
    poller = epoll_create1(EPOLL_CLOEXEC);
    memset(filler, 'x', sizeof filler);
    seat_clients();
    connect_phase();
    pause_phase();
    Spent spent = write_phase();
    drain_phase();
    report(spent);
    return failed || lost ? 1 : 0;
}
