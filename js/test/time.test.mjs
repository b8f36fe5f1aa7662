// What a client does as time passes: pauses between attempts, silence, what waits for whom, and what it says of its connection meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, get, getDatabase, goOffline, goOnline, onDisconnect, onValue, ref, remove, runTransaction, set, update } from '../dist/index.js';
import { clock, network } from './network.mjs';

function client(network, options = {}) {
  const database = getDatabase('http://localhost:1?ns=a', { WebSocket: network.Fake, ...options });
  const states = [];
  onValue(ref(database, '.info/connected'), (snapshot) => states.push(snapshot.val()));
  return { database, at: (path) => ref(database, path), states, end: () => close(database) };
}

const settled = (promise) => {
  const seen = { outcome: null };
  promise.then((value) => { seen.outcome = ['ok', value]; }, (error) => { seen.outcome = [error.code, error.message]; });
  return seen;
};

// Pauses

test('pauses grow by half up to thirty seconds, each with chance from half to one and a half of it', async (t) => {
  const time = clock(t), net = network({ greets: false, refuses: true });
  const { states, end } = client(net);
  await time.pass(600_000, 50);
  const pauses = net.sockets.slice(1).map((socket, index) => socket.madeAt - net.sockets[index].madeAt);
  let middle = 200;
  for (const pause of pauses) {
    assert.ok(pause >= middle * 0.5 - 1 && pause <= middle * 1.5 + 120, `${pause} for ${middle}`);
    middle = Math.min(middle * 1.5, 30_000);
  }
  assert.equal(middle, 30_000);
  assert.ok(new Set(pauses.slice(-8)).size > 4, 'chance keeps many clients apart');
  assert.deepEqual(states, [false], 'it was never connected, and never said so');
  end();
});

test('a server that lets nobody stay is not run down, and one that did is come back to at once', async (t) => {
  const time = clock(t), net = network();
  const { end, states } = client(net);
  for (let round = 0; round < 12; round++) {
    await time.pass(50);
    net.sockets.at(-1).onclose?.();
    const count = net.sockets.length;
    while (net.sockets.length === count) await time.pass(50);
  }
  const pause = net.sockets.at(-1).madeAt - net.sockets.at(-2).madeAt;
  assert.ok(pause > 5000, `${pause}`);
  await time.pass(6000);
  const count = net.sockets.length;
  net.sockets.at(-1).onclose();
  await time.pass(350);
  assert.equal(net.sockets.length, count + 1);
  await time.pass(50);
  assert.deepEqual(states, [false, ...Array(13).fill([true, false]).flat(), true]);
  end();
});

test('going online tries at once, however long the pause had become', async (t) => {
  const time = clock(t), net = network({ greets: false, refuses: true });
  const { database, states, end } = client(net);
  await time.pass(120_000, 50);
  Object.assign(net.state, { greets: true, refuses: false });
  goOffline(database);
  await time.pass(60_000, 50);
  const count = net.sockets.length;
  goOnline(database);
  await time.pass(20);
  assert.equal(net.sockets.length, count + 1);
  assert.deepEqual(states, [false, true]);
  end();
});

test('a server that accepts and says nothing is given ten seconds', async (t) => {
  const time = clock(t), net = network({ greets: false });
  const { states, end } = client(net);
  await time.pass(9_900);
  assert.equal(net.sockets.length, 1);
  await time.pass(600);
  assert.equal(net.sockets.length, 2);
  assert.deepEqual(states, [false]);
  end();
});

// What it says of its connection

test('connected is said once for each change, with the time known before', async (t) => {
  const time = clock(t), net = network();
  const { database, states, at, end } = client(net);
  const offsets = [];
  onValue(at('.info/serverTimeOffset'), (snapshot) => offsets.push(snapshot.val()));
  let known;
  onValue(at('.info/connected'), (snapshot) => { if (snapshot.val()) known = offsets.at(-1); });
  assert.deepEqual([states, offsets], [[false], []]);
  await time.pass(50);
  assert.deepEqual([states, offsets, known], [[false, true], [7], 7]);
  goOnline(database);
  goOffline(database);
  goOffline(database);
  assert.deepEqual(states, [false, true, false], 'at once, not when the socket has closed');
  await time.pass(60_000, 50);
  assert.deepEqual(states, [false, true, false], 'and it stays so');
  goOnline(database);
  goOffline(database);
  goOnline(database);
  await time.pass(50);
  assert.deepEqual(states, [false, true, false, true]);
  const whole = [];
  onValue(at('.info'), (snapshot) => whole.push(snapshot.val()));
  assert.deepEqual(whole, [{ connected: true, serverTimeOffset: 7 }]);
  net.sockets.at(-1).onclose();
  assert.deepEqual(states.at(-1), false);
  net.state.greets = false;
  await time.pass(5_000);
  assert.deepEqual(states.at(-1), false, 'an open socket without a greeting is no connection');
  end();
});

test('what was asked meanwhile is sent in order before it says that it is connected', async (t) => {
  const time = clock(t), net = network({ greets: false });
  const { database, at, end } = client(net);
  const sent = [];
  set(at('a'), 1).catch(() => {});
  update(at('b'), { c: 2 }).catch(() => {});
  onDisconnect(at('d')).set(3).catch(() => {});
  onValue(at('e'), () => {});
  onValue(at('.info/connected'), (snapshot) => { if (snapshot.val()) set(at('f'), 4).catch(() => {}); });
  await time.pass(20);
  net.sockets[0].say({ t: 'c', d: { t: 'h', d: { ts: 0, v: '5', h: 'localhost:1', s: 's' } } });
  await time.pass(20);
  for (const { a, b } of net.sockets[0].requests) sent.push(`${a} ${b.p}`);
  assert.deepEqual(sent, ['q /e', 'p /a', 'm /b', 'o /d', 'p /f']);
  end();
});

// Silence

/** When a server that falls silent `after` so long is given up, from then on. */
async function silenced(t, after, then = () => {}) {
  const time = clock(t), net = network();
  const { at, end, states } = client(net);
  onValue(at('a'), () => {});
  await time.pass(after, after > 60_000 ? 50 : 10);
  Object.assign(net.state, { pongs: false, answers: false });
  const since = Date.now(), [socket] = net.sockets;
  await then({ time, at, net });
  while (!socket.isClosed) await time.pass(10);
  assert.equal(states.at(-1), false);
  assert.equal(net.sockets.indexOf(socket), 0);
  end();
  return { ms: socket.closedAt - since, asked: socket.asked };
}

test('where something goes on, silence is noticed within seven and a half seconds', async (t) => {
  for (const after of [50, 4_000, 33_000]) {
    await t.test(`after ${after} ms`, async (t) => {
      const { ms } = await silenced(t, after);
      assert.ok(ms >= 2_500 && ms <= 7_550, `${ms}`);
    });
  }
});

test('over a WebTransport too: that the question itself has left is no answer', async (t) => {
  const time = clock(t), made = [];
  class Silent {
    ready = Promise.resolve();
    closed = new Promise(() => {});
    datagrams = { maxDatagramSize: 1_000, writable: new WritableStream(), readable: new ReadableStream() };
    constructor() { made.push(this); }
    async createBidirectionalStream() {
      const hello = new TextEncoder().encode('{"t":"c","d":{"t":"h","d":{"ts":0,"v":"5","h":"localhost:1","s":"s"}}}');
      const readable = new ReadableStream({ start: (stream) => stream.enqueue(Uint8Array.from([0x81, hello.length, ...hello])) });
      return { readable, writable: new WritableStream() };
    }
    close() {}
  }
  Object.assign(globalThis, { WebTransport: Silent, fetch: async () => ({ ok: true, json: async () => ({ url: 'https://localhost:1/.wt', hashes: [] }) }) });
  const database = getDatabase('http://localhost:1?ns=a', { transports: ['webtransport'] }), states = [];
  onValue(ref(database, '.info/connected'), (snapshot) => states.push(snapshot.val()));
  await time.pass(100);
  assert.deepEqual(states, [false, true]);
  await time.pass(7_550);
  assert.equal(states[2], false);
  close(database);
  delete globalThis.WebTransport;
});

test('a write that nobody answers is a reason to ask: five seconds, also after an hour in which nothing happened', async (t) => {
  const { ms } = await silenced(t, 3_600_000, ({ at }) => { set(at('b'), 1).catch(() => {}); });
  assert.ok(ms <= 5_050, `${ms}`);
});

test('a page that is looked at again, and a network that comes or goes, are reasons too: two and a half seconds', async (t) => {
  for (const event of ['online', 'offline', 'visibilitychange']) {
    await t.test(event, async (t) => {
      const page = new EventTarget();
      const methods = { addEventListener: page.addEventListener.bind(page), removeEventListener: page.removeEventListener.bind(page) };
      Object.assign(globalThis, methods, { document: page });
      t.after(() => { for (const name of [...Object.keys(methods), 'document']) delete globalThis[name]; });
      const { ms } = await silenced(t, 3_600_000, () => { page.dispatchEvent(new Event(event)); });
      assert.ok(ms <= 2_550, `${ms}`);
    });
  }
});

test('whoever slept asks before it gives anything up', async (t) => {
  const time = clock(t), net = network();
  const { at, end, states } = client(net);
  onValue(at('a'), () => {});
  await time.pass(1_000);
  await time.sleep(3_600_000);
  await time.pass(3_000);
  assert.equal(net.sockets.length, 1);
  assert.deepEqual(states, [false, true]);
  net.state.pongs = false;
  await time.sleep(3_600_000);
  await time.pass(2_600);
  assert.ok(net.sockets[0].isClosed, 'and then it does not wait long');
  end();
});

test('where nothing happens a server is asked twice a minute', async (t) => {
  const time = clock(t), net = network();
  const { at, end } = client(net);
  onValue(at('a'), () => {});
  await time.pass(120_000, 50);
  const [socket] = net.sockets;
  const before = socket.asked;
  assert.ok(before <= 16, `${before} in the first two minutes`);
  await time.pass(600_000, 50);
  const { asked } = socket;
  assert.ok(asked - before >= 15 && asked - before <= 20, `${asked - before} in ten minutes`);
  assert.equal(net.sockets.length, 1);
  // Something happens: for a minute it is minded again.
  socket.say({ t: 'd', d: { a: 'd', b: { p: 'a', d: 1 } } });
  await time.pass(60_000, 50);
  assert.ok(socket.asked - asked >= 5, `${socket.asked - asked}`);
  end();
});

test('what takes long to leave is no silence as long as it leaves', async (t) => {
  const time = clock(t), net = network({ pongs: false, answers: false });
  const { at, end } = client(net);
  set(at('large'), 'x').catch(() => {});
  await time.pass(50);
  const [socket] = net.sockets;
  for (socket.bufferedAmount = 60_000; socket.bufferedAmount > 0; socket.bufferedAmount -= 1000) await time.pass(1_000, 50);
  assert.equal(net.sockets.length, 1);
  await time.pass(8_000);
  assert.ok(socket.isClosed);
  end();
});

// What waits, and how long

test('a read gives up after ten seconds, or what it was given', async (t) => {
  const time = clock(t), net = network({ greets: false });
  const one = client(net), other = client(net, { timeoutMs: 300 });
  const read = settled(get(one.at('a'))), short = settled(get(other.at('a')));
  await time.pass(310);
  assert.equal(short.outcome[0], 'TIMEOUT');
  await time.pass(9_600);
  assert.equal(read.outcome, null);
  await time.pass(200);
  assert.equal(read.outcome[0], 'TIMEOUT');
  assert.match(read.outcome[1], /no answer within 10000 ms: it was not sent/);
  one.end();
  other.end();
});

test('a write waits for a connection, however long, if nothing else is said', async (t) => {
  const time = clock(t), net = network({ greets: false, refuses: true });
  const { at, end } = client(net);
  const waiting = [set(at('a'), 1), update(at('a'), { b: 1 }), remove(at('c')), onDisconnect(at('d')).set(1), runTransaction(at('e'), () => 1)].map(settled);
  await time.pass(3_600_000, 1_000);
  assert.deepEqual(waiting.map(({ outcome }) => outcome), [null, null, null, null, null]);
  end();
  await time.pass(10);
  assert.deepEqual(new Set(waiting.map(({ outcome }) => outcome[0])), new Set(['DISCONNECTED']), 'the end of the database is an answer');
});

test('with a bound what was not sent is undone and never sent', async (t) => {
  const time = clock(t), net = network({ greets: false, refuses: true });
  const { at, end } = client(net, { writeTimeoutMs: 1_000 });
  const shown = [];
  onValue(at('a'), (snapshot) => shown.push(snapshot.val()));
  const waiting = [set(at('a'), 1), update(at('x'), { b: 1 }), remove(at('c')), onDisconnect(at('d')).set(1), runTransaction(at('e'), () => 1)].map(settled);
  await time.pass(990);
  assert.deepEqual(waiting.map(({ outcome }) => outcome), [null, null, null, null, null]);
  await time.pass(20);
  for (const { outcome } of waiting) {
    assert.equal(outcome[0], 'TIMEOUT');
    assert.match(outcome[1], /1000 ms: it was not sent, and never is/);
  }
  Object.assign(net.state, { greets: true, refuses: false });
  await time.pass(3_000);
  const socket = net.sockets.at(-1);
  assert.deepEqual(socket.requests.map(({ a, b }) => `${a} ${b.p}`), ['q /a'], 'a transaction that gave up listens no more');
  socket.say({ t: 'd', d: { a: 'd', b: { p: 'a', d: 'theirs' } } });
  assert.deepEqual(shown, [1, null, 'theirs']);
  end();
});

test('with a bound what was sent may have been carried out, and is not sent again', async (t) => {
  const time = clock(t), net = network({ answers: false });
  const { at, end } = client(net, { writeTimeoutMs: 1_000 });
  await time.pass(50);
  const write = settled(set(at('a'), 1));
  await time.pass(1_010);
  assert.match(write.outcome[1], /it was sent, and may have been carried out/);
  net.sockets[0].onclose();
  await time.pass(1_000);
  assert.equal(net.sockets.length, 2);
  assert.deepEqual(net.sockets[1].requests, []);
  end();
});

test('without one an unanswered write is sent again on the next connection, a transaction is not', async (t) => {
  const time = clock(t), net = network({ answers: false });
  const { at, end } = client(net);
  onValue(at('n'), () => {});
  await time.pass(50);
  net.sockets[0].say({ t: 'd', d: { a: 'd', b: { p: 'n', d: 1 } } });
  const write = settled(set(at('a'), 1)), transaction = settled(runTransaction(at('n'), (n) => n + 1));
  await time.pass(50);
  net.sockets[0].onclose();
  net.state.answers = true;
  await time.pass(1_000);
  assert.deepEqual(net.sockets[1].requests.map(({ a, b }) => `${a} ${b.p}`), ['q /n', 'p /a']);
  assert.equal(write.outcome[0], 'ok');
  assert.equal(transaction.outcome[0], 'DISCONNECTED');
  end();
});

test('a token that never comes is asked for again after thirty seconds', async (t) => {
  const time = clock(t), net = network();
  let asked = 0;
  const { end } = client(net, { token: () => { asked += 1; return new Promise(() => {}); } });
  const { warn } = console;
  console.warn = () => {};
  t.after(() => { console.warn = warn; });
  await time.pass(29_000, 50);
  assert.equal(asked, 1);
  await time.pass(2_000, 50);
  assert.equal(asked, 2);
  end();
});
