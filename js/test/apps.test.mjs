// Apps, addresses and switches: what programs written for Firebase call before anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  child, close, connectDatabaseEmulator, deleteApp, enableLogging, forceLongPolling, forceWebSockets, getApp, getApps, getDatabase, initializeApp,
  onValue, ref, refFromURL, set,
} from '../dist/index.js';
import { clock, network } from './network.mjs';

const OPTIONS = { databaseURL: 'https://shop.example.com' };

test('an app is found again by its name, and gone when it is deleted', async () => {
  assert.throws(() => getApp(), /no app \[DEFAULT\]/);
  const app = initializeApp(OPTIONS), other = initializeApp(OPTIONS, 'other');
  assert.equal(initializeApp({ ...OPTIONS }), app);
  assert.throws(() => initializeApp({ databaseURL: 'https://else.example.com' }), /other options/);
  assert.deepEqual([getApp(), getApp('other'), getApps()], [app, other, [app, other]]);
  assert.deepEqual([app.name, other.name], ['[DEFAULT]', 'other']);
  await deleteApp(app);
  assert.deepEqual(getApps(), [other]);
  assert.throws(() => getApp(), /no app/);
  await deleteApp(other);
});

test('an app has one database for each URL, the first app if none is named', async () => {
  const app = initializeApp(OPTIONS);
  const database = getDatabase();
  assert.equal(getDatabase(app), database);
  assert.equal(database.app, app);
  const second = getDatabase(app, 'https://else.example.com');
  assert.notEqual(second, database);
  assert.equal(getDatabase(app, 'https://else.example.com'), second);
  assert.notEqual(getDatabase('https://a.example.com'), getDatabase('https://a.example.com'), 'a URL is a client of its own each time');
  assert.throws(() => getDatabase(initializeApp({}, 'none')), /no URL/);
  await deleteApp(app);
  assert.throws(() => getDatabase(), /no app/);
});

test('a place by its URL is one of this database', () => {
  const database = getDatabase('https://shop.example.com?ns=shop');
  const place = refFromURL(database, 'https://shop.example.com/a/b%20c');
  assert.ok(place.isEqual(ref(database, 'a/b c')));
  assert.equal(place.toString(), 'https://shop.example.com/a/b%20c');
  assert.ok(child(place, 'd/e').isEqual(ref(database, '/a/b c/d/e')));
  assert.equal(child(place, 'd').parent.key, 'b c');
  assert.equal(place.root.key, null);
  assert.throws(() => refFromURL(database, 'https://else.example.com/a'), /not the host/);
  const emulated = getDatabase(initializeApp(OPTIONS, 'emulated'));
  connectDatabaseEmulator(emulated, '127.0.0.1', 9000);
  assert.ok(refFromURL(emulated, 'https://shop.example.com/a').isEqual(refFromURL(emulated, 'http://127.0.0.1:9000/a')));
});

test('the emulator is named before the first use', (t) => {
  clock(t);
  const net = network(), database = getDatabase('https://shop.example.com', { WebSocket: net.Fake });
  onValue(ref(database, 'a'), () => {});
  assert.throws(() => connectDatabaseEmulator(database, '127.0.0.1', 9000), /before the first use/);
  close(database);
});

test('logging shows the messages both ways until it is switched off', async (t) => {
  const time = clock(t), net = network(), database = getDatabase('http://localhost:1?ns=a', { WebSocket: net.Fake }), seen = [];
  enableLogging((message) => seen.push(message));
  set(ref(database, 'a'), 1);
  await time.pass(50);
  assert.equal(seen.find((message) => message.startsWith('→')), '→ {"t":"d","d":{"r":1,"a":"p","b":{"p":"/a","d":1}}}');
  assert.ok(seen.includes('← {"t":"d","d":{"r":1,"b":{"s":"ok","d":""}}}'));
  const { length } = seen;
  enableLogging(false);
  set(ref(database, 'a'), 2).catch(() => {});
  await time.pass(50);
  assert.equal(seen.length, length);
  close(database);
});

test('there are no long polls, and WebSockets can be forced', async (t) => {
  assert.throws(forceLongPolling, /no long polls/);
  const time = clock(t), made = [];
  const { Fake } = network();
  class Tried { constructor(url) { made.push(url); this.ready = this.closed = new Promise(() => {}); } close() {} }
  Object.assign(globalThis, { WebTransport: Tried, WebSocket: Fake, fetch: async () => ({ ok: true, json: async () => ({ url: 'https://localhost:1/.wt', hashes: [] }) }) });
  const connected = async () => {
    const database = getDatabase('http://localhost:1?ns=a');
    let state;
    onValue(ref(database, '.info/connected'), (snapshot) => { state = snapshot.val(); });
    await time.pass(2_000);
    assert.equal(state, true);
    close(database);
  };
  await connected();
  assert.equal(made.length, 1);
  forceWebSockets();
  await connected();
  assert.equal(made.length, 1, 'it is not even tried any more');
});
