/* The raw floor: a relay of rooms, the least that a server for many listeners must do, in C.
 *
 * The path of the upgrade names the room; a text frame that a client sends goes to all in its room, the sender too; one byte is a keepalive. No JSON, no paths,
 * no rules, nothing kept, no disk, no acknowledgement, no TLS: what a real server needs more than this is the price of what it does.
 * relay [PORT [--each]]: --each writes every message to every listener at once, as a plain program would. Without it what a loop turn has for a
 * listener is gathered and written with one call, as Meadowlark does.
 *
 * One thread, one epoll; a client that does not read loses its connection at OUTBOX_BYTES_MAX. Prints "READY <port>" and ends with its
 * standard input, so that it never outlives who started it. Does not know: what the frames mean.
 * Source: RFC 6455.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (1 << 20)
#define HELD_BYTES_MAX (1 << 20)     /* The longest unfinished frame. */
#define OUTBOX_BYTES_MAX (32u << 20)
#define EVENTS_MAX 256
#define ROOMS (1 << 16)              /* Slots by hash of the name; rooms whose names collide are told apart by the name. */

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

typedef struct Client Client;
typedef struct Room Room;

struct Room {
    char name[64];
    Client **members;
    u32 count, capacity;
    Room *next;
};

struct Client {
    int fd;
    bool open, dirty, want_out;
    Room *room;
    u32 place;                       /* in the room's members */
    u8 *held, *outbox;
    u32 held_bytes, outbox_bytes, outbox_capacity;
    Client *next;                    /* of those to be flushed, or to be freed */
};

static int poller, listener;
static bool each;
static Room *rooms[ROOMS];
static Client *dirty, *ended;
static u8 buffer[READ_BYTES + HELD_BYTES_MAX], frame[HELD_BYTES_MAX + 16];

static void *must(void *memory) {
    if (!memory) exit(3);
    return memory;
}

static void watch(Client *client, int how, bool want_out) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET | (want_out ? EPOLLOUT : 0u), .data.ptr = client};
    client->want_out = want_out;
    if (epoll_ctl(poller, how, client->fd, &event)) exit(3);
}

static Room *find_room(const char *name) {
    u32 hash = 2166136261u;
    for (const char *at = name; *at; at++) hash = (hash ^ (u8)*at) * 16777619u;
    Room **slot = &rooms[hash % ROOMS];
    for (Room *room = *slot; room; room = room->next)
        if (!strcmp(room->name, name)) return room;
    Room *room = must(calloc(1, sizeof *room));
    snprintf(room->name, sizeof room->name, "%s", name);
    room->next = *slot;
    return *slot = room;
}

static void join(Client *client, Room *room) {
    if (room->count == room->capacity) {
        room->capacity = room->capacity ? room->capacity * 2 : 16;
        room->members = must(realloc(room->members, room->capacity * sizeof *room->members));
    }
    client->room = room;
    client->place = room->count;
    room->members[room->count++] = client;
}

static void end(Client *client) {
    if (!client->open) return;
    client->open = false;
    if (client->room) {
        Room *room = client->room;
        Client *last = room->members[--room->count];
        room->members[client->place] = last;
        last->place = client->place;
    }
    close(client->fd);
    if (!client->dirty) client->next = ended, ended = client;
}

/* Writes what there is; keeps what the socket would not take. */
static void flush(Client *client) {
    ssize_t took = send(client->fd, client->outbox, client->outbox_bytes, MSG_NOSIGNAL);
    if (took < 0 && errno != EAGAIN) {
        end(client);
        return;
    }
    if (took > 0) {
        client->outbox_bytes -= (u32)took;
        memmove(client->outbox, client->outbox + took, client->outbox_bytes);
    }
    if (client->want_out != (client->outbox_bytes > 0)) watch(client, EPOLL_CTL_MOD, client->outbox_bytes > 0);
}

static void put(Client *client, const u8 *bytes, u32 count) {
    if (client->outbox_bytes + count > OUTBOX_BYTES_MAX) {
        end(client);
        return;
    }
    if (client->outbox_bytes + count > client->outbox_capacity) {
        client->outbox_capacity = (client->outbox_bytes + count) * 2;
        client->outbox = must(realloc(client->outbox, client->outbox_capacity));
    }
    memcpy(client->outbox + client->outbox_bytes, bytes, count);
    client->outbox_bytes += count;
    if (each && !client->want_out) flush(client);
    else if (!each && !client->dirty && !client->want_out) client->dirty = true, client->next = dirty, dirty = client;
}

static void broadcast(Room *room, const u8 *payload, u32 count) {
    u32 head = count < 126 ? 2 : count < 65536 ? 4 : 10;
    frame[0] = 0x81;
    frame[1] = head == 2 ? (u8)count : head == 4 ? 126 : 127;
    for (u32 at = 2; at < head; at++) frame[at] = (u8)((u64)count >> 8 * (head - 1 - at));
    memcpy(frame + head, payload, count);
    for (u32 i = room->count; i-- > 0;) { /* Backwards: one that ends takes the last one's place. */
        Client *member = room->members[i];
        put(member, frame, head + count);
    }
}

static size_t receive_head(Client *client, u8 *bytes, size_t count) {
    u8 *end_at = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end_at) return 0;
    char name[64];
    *end_at = 0;
    if (sscanf((char *)bytes, "GET %63s HTTP/1.1", name) != 1) {
        end(client);
        return count;
    }
    /* The generator does not check Sec-WebSocket-Accept, which would be the only cryptography in this file. */
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    put(client, (const u8 *)answer, sizeof answer - 1);
    if (client->open) join(client, find_room(name));
    return (size_t)(end_at - bytes) + 4;
}

/* Takes the whole frames at the front; answers how many bytes they were. */
static size_t receive_frames(Client *client, u8 *bytes, size_t count) {
    size_t at = 0;
    while (client->open && count - at >= 6) {
        u8 *start = bytes + at;
        u64 size = start[1] & 127;
        u32 head = size == 126 ? 8 : size == 127 ? 14 : 6;
        if (count - at < head) break;
        if (size >= 126) {
            size = 0;
            for (u32 i = 2; i < head - 4; i++) size = size << 8 | start[i];
        }
        if (size > HELD_BYTES_MAX - 16 || !(start[1] & 128) || (start[0] & 15) == 8) {
            end(client);
            break;
        }
        if (count - at < head + size) break;
        u8 *mask = start + head - 4, *payload = start + head;
        for (u64 i = 0; i < size; i++) payload[i] ^= mask[i & 3];
        if ((start[0] & 15) == 1 && size > 1) broadcast(client->room, payload, (u32)size);
        at += head + size;
    }
    return client->open ? at : count;
}

static void receive(Client *client) {
    while (client->open) {
        u32 before = client->held_bytes;
        if (before) memcpy(buffer, client->held, before);
        ssize_t took = recv(client->fd, buffer + before, READ_BYTES, 0);
        if (took < 0 && errno == EAGAIN) return;
        if (took <= 0) {
            end(client);
            return;
        }
        size_t count = before + (size_t)took;
        size_t used = client->room ? 0 : receive_head(client, buffer, count);
        if (client->open && client->room) used += receive_frames(client, buffer + used, count - used);
        if (!client->open) return;
        u32 rest = (u32)(count - used);
        if (rest > HELD_BYTES_MAX) {
            end(client);
            return;
        }
        client->held = rest ? must(realloc(client->held, rest)) : client->held;
        if (rest) memcpy(client->held, buffer + used, rest);
        client->held_bytes = rest;
    }
}

static void accept_all(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Client *client = must(calloc(1, sizeof *client));
        client->fd = fd;
        client->open = true;
        watch(client, EPOLL_CTL_ADD, false);
    }
}

static void end_of_turn(void) {
    while (dirty) {
        Client *client = dirty;
        dirty = client->next;
        client->dirty = false;
        if (client->open) flush(client);
        else client->next = ended, ended = client;
    }
    while (ended) { /* Only now: nothing of this turn points to them any more. */
        Client *client = ended;
        ended = client->next;
        free(client->held);
        free(client->outbox);
        free(client);
    }
}

int main(int count, char **words) {
    uint16_t port = count > 1 ? (uint16_t)atoi(words[1]) : 0;
    each = count > 2 && !strcmp(words[2], "--each");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) return 3;
    getsockname(listener, (struct sockaddr *)&address, &size);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, input = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input);
    printf("READY %u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int found = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < found; i++) {
            Client *client = events[i].data.ptr;
            if (!client) accept_all();
            else if (events[i].data.ptr == &listener) return 0;
            else {
                if (client->open && events[i].events & EPOLLOUT && client->outbox_bytes) flush(client);
                if (client->open && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(client);
            }
        }
        end_of_turn();
    }
}
