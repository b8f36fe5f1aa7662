/* The load generator for peers whose protocol is not simple enough for load.c: their own client libraries, in Node.
 *
 * It takes load.c's options, says its events and prints its report, so that harness and tables are the same: rooms, open loop,
 * latency from when a write was due, every listener checked for what it must have heard. Node is a heavier driver than
 * C: `sent_late_ms` and `busy_share` say how much of a figure is the driver's, and Meadowlark is driven both ways for comparison.
 * --peer NAME picks NAME.client.mjs, whose `connect` answers {write(value) -> promise or nothing, close, echoes}.
 * Does not know: any peer's protocol.
 */
import { parseArgs } from 'node:util';
import { once } from 'node:events';
import process from 'node:process';

const names = ['peer', 'host', 'port', 'auth', 'workload', 'arrivals', 'connections', 'room-size', 'databases', 'connect-rate', 'value-bytes',
  'writes-per-second', 'warmup', 'seconds', 'drain', 'keepalive', 'process', 'first-source', 'first-room', 'away', 'dialect'];
const flags = ['pause', 'buckets', 'spin', 'idle'];
const { values: given } = parseArgs({
  options: Object.fromEntries([...names.map((name) => [name, { type: 'string' }]), ...flags.map((name) => [name, { type: 'boolean' }])]),
});
const number = (name, otherwise) => Number(given[name] ?? otherwise);
const connections = number('connections', 100), roomSize = number('room-size', 10), rate = number('writes-per-second', 100);
const seconds = number('seconds', 5), warmup = number('warmup', 1), drain = number('drain', 3), valueBytes = number('value-bytes', 64);
const IDLE_GAP_MS = 2; /* Timers tick in milliseconds: closer to a due time than this the driver polls. */
const DUE_BATCH_MAX = 64;
const BEHIND_NS_MAX = 2e9;

const now = () => Number(process.hrtime.bigint());

/* The buckets of load.c: 128 linear steps in each power of two. */
class Histogram {
  counts = new Map();
  count = 0;
  sum = 0;
  max = 0;

  record(nanoseconds) {
    const value = Math.max(0, Math.round(nanoseconds));
    const shift = value < 128 ? 0 : Math.floor(Math.log2(value)) - 7;
    const top = shift > 0 ? (Math.floor(value / 2 ** shift) + 1) * 2 ** shift - 1 : value;
    this.counts.set(top, (this.counts.get(top) ?? 0) + 1);
    this.count++;
    this.sum += value;
    this.max = Math.max(this.max, value);
  }

  report() {
    const buckets = [...this.counts].sort((a, b) => a[0] - b[0]);
    return { count: this.count, mean: this.count ? this.sum / this.count / 1e6 : 0, max: this.max / 1e6, buckets };
  }
}

const histograms = Object.fromEntries(
  ['delivered_ms', 'acknowledged_ms', 'sent_late_ms', 'connect_ms', 'listen_ms', 'left_ms', 'joined_ms', 'back_ms'].map((name) => [name, new Histogram()]),
);
const rooms = Array.from({ length: Math.ceil(connections / roomSize) }, (_, index) => ({ index, written: 0, writtenSum: 0 }));
const clients = [];
let measuredFrom = Infinity, measuredUntil = Infinity;
let sent = 0, acknowledged = 0, refused = 0, unsent = 0, delivered = 0, failed = 0, expected = 0, firstError = '';
let windowWrites = 0, windowAcknowledged = 0, windowDeliveries = 0, busy = 0;

const inWindow = (at) => at >= measuredFrom && at < measuredUntil;

function noteError(error) {
  firstError ||= String(error?.message ?? error).replaceAll('"', "'").slice(0, 250);
}

/* A listener has been told of a value: `text` has the marker of load.c, @ and 24 hexadecimal digits. */
function heard(client, text) {
  const found = /@([0-9a-f]{14})00([0-9a-f]{8})/.exec(text);
  if (!found || !client.listening) return;
  const at = now(), dueAt = parseInt(found[1], 16);
  client.received++;
  client.receivedSum += parseInt(found[2], 16);
  delivered++;
  if (inWindow(at)) windowDeliveries++;
  if (inWindow(dueAt)) histograms.delivered_ms.record(at - dueAt);
}

function write(client, dueAt) {
  const writeNumber = sent++;
  const room = client.room;
  room.written++;
  room.writtenSum += writeNumber;
  client.own++;
  client.ownSum += writeNumber;
  expected += room.clients.length - (client.echoes ? 0 : 1);
  const marker = `@${dueAt.toString(16).padStart(14, '0')}00${writeNumber.toString(16).padStart(8, '0')}`;
  const value = marker + 'x'.repeat(Math.max(0, valueBytes - marker.length - 8));
  if (inWindow(dueAt)) histograms.sent_late_ms.record(now() - dueAt);
  const answer = client.write(value);
  if (!answer) return;
  answer.then(
    () => {
      acknowledged++;
      const at = now();
      if (inWindow(at)) windowAcknowledged++;
      if (inWindow(dueAt)) histograms.acknowledged_ms.record(at - dueAt);
    },
    (error) => {
      refused++;
      noteError(error);
    },
  );
}

async function open(peer, index) {
  const room = rooms[Math.floor(index / roomSize)];
  const client = { room, received: 0, receivedSum: 0, own: 0, ownSum: 0, listening: false, echoes: true };
  const startedAt = now();
  try {
    Object.assign(client, await peer.connect({
      host: given.host ?? '127.0.0.1', port: Number(given.port), credential: given.auth, workload: given.workload, room: `r${room.index}`, roomIndex: room.index,
      seat: index % roomSize, seats: roomSize, heard: (text) => heard(client, text),
    }));
    histograms.connect_ms.record(now() - startedAt);
    (room.clients ??= []).push(client);
    clients.push(client);
  } catch (error) {
    failed++;
    noteError(error);
  }
}

function announce(event) {
  process.stdout.write(JSON.stringify({ event, at: now(), ready: clients.length, failed }) + '\n');
}

/* Runs `due(at)` at each due time until `until`, then only waits. */
async function run(until, due) {
  for (;;) {
    const startedAt = now();
    const next = due(startedAt);
    if (inWindow(startedAt)) busy += now() - startedAt;
    if (startedAt >= until) return;
    const wait = (Math.min(next, until) - now()) / 1e6;
    await new Promise((done) => (wait > IDLE_GAP_MS ? setTimeout(done, wait - 1) : setImmediate(done)));
  }
}

/* Standard output is for the report, and nobody reads what libraries say. */
for (const level of ['log', 'info', 'warn', 'error', 'debug']) console[level] = () => {};

const peer = await import(new URL(`${given.peer}.client.mjs`, import.meta.url)); /* Or the path of another. */
const lanes = Math.min(16, connections); /* Clients that open at once. */
await peer.prepare?.({ host: given.host ?? '127.0.0.1', port: Number(given.port), credential: given.auth, rooms: rooms.length, seats: roomSize });
let opening = 0;
await Promise.all(Array.from({ length: lanes }, async () => {
  while (opening < connections) await open(peer, opening++);
}));
announce('connected');
if (given.pause) {
  process.stdin.on('end', () => process.exit(2)); /* Who started it is gone. */
  await once(process.stdin, 'data');
}
for (const client of clients) client.listening = true;

let state = 88172645463325252n;
const turns = clients.map((_, index) => index);
for (let i = turns.length - 1; i > 0; i--) {
  state = BigInt.asUintN(64, state ^ (state << 13n));
  state ^= state >> 7n;
  state = BigInt.asUintN(64, state ^ (state << 17n));
  const other = Number(state % BigInt(i + 1));
  [turns[i], turns[other]] = [turns[other], turns[i]];
}

const start = now() + 1e7, gap = 1e9 / rate;
measuredFrom = start + warmup * 1e9;
measuredUntil = measuredFrom + seconds * 1e9;
let made = 0;
function due(at) {
  if (at - (start + made * gap) > BEHIND_NS_MAX && at < measuredUntil) {
    /* So far behind there is nothing left to learn, and catching up would take minutes. */
    const given = Math.ceil((measuredUntil - start) / gap) - made;
    unsent += Math.max(0, given);
    made += Math.max(0, given);
  }
  for (let batch = 0; batch < DUE_BATCH_MAX; batch++) {
    const dueAt = Math.round(start + made * gap);
    if (dueAt > at || dueAt >= measuredUntil) return dueAt;
    if (dueAt >= measuredFrom) windowWrites++;
    if (clients.length) write(clients[turns[made % turns.length]], dueAt);
    else unsent++;
    made++;
  }
  return at;
}

await run(measuredFrom, due);
announce('measuring');
const before = process.cpuUsage();
await run(measuredUntil, due);
const used = process.cpuUsage(before);
announce('measured');
const answers = () => peer.silent || acknowledged + refused >= sent;
const drained = now() + drain * 1e9;
let more = true;
while (now() < drained && (more || delivered < expected || !answers())) {
  /* What was due before the end is still written, however late. */
  more = due(now()) < measuredUntil;
  await new Promise((done) => setImmediate(done));
}

let missing = 0, extra = 0, mixedUp = 0;
for (const client of clients) {
  const wanted = client.room.written - (client.echoes ? 0 : client.own);
  const wantedSum = client.room.writtenSum - (client.echoes ? 0 : client.ownSum);
  missing += Math.max(0, wanted - client.received);
  extra += Math.max(0, client.received - wanted);
  mixedUp += wanted === client.received && wantedSum !== client.receivedSum ? 1 : 0;
}
const cpuSeconds = (used.user + used.system) / 1e6;
process.stdout.write(JSON.stringify({
  event: 'report', workload: given.workload ?? 'rooms', dialect: given.peer, connections, ready: clients.length, failed, lost: 0, rooms: rooms.length, databases: 1,
  seconds, writes_per_second_asked: rate, value_bytes: valueBytes, writes: sent, writes_unsent: unsent, acknowledged, refused,
  unacknowledged: peer.silent ? 0 : sent - acknowledged - refused, departures: 0, retries: 0, away: 0, deliveries_early: 0, deliveries: delivered,
  deliveries_missing: missing, deliveries_extra: extra, listeners_mixed_up: mixedUp, deliveries_foreign: 0, writes_per_second: windowWrites / seconds,
  acknowledged_per_second: windowAcknowledged / seconds, deliveries_per_second: windowDeliveries / seconds,
  ...Object.fromEntries(Object.entries(histograms).map(([name, histogram]) => [name, histogram.report()])),
  reads: 0, read_bytes: 0, unknown_messages: 0, spin: false, cpu_seconds: cpuSeconds, busy_share: cpuSeconds / seconds, first_error: firstError,
}) + '\n', () => process.exit(failed ? 1 : 0));
