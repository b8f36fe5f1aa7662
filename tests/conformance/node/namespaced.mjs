// The same life through the namespaced interfaces: firebase/compat, and firebase-admin for Node (`how`: compat or admin).
import { say, settings } from './lib.mjs';

const { host, port, ns, how } = settings;
const url = `http://${host}:${port}?ns=${ns}`;

async function open(label) {
  if (how === 'admin') {
    const { initializeApp, deleteApp } = await import('firebase-admin/app');
    const { getDatabase, ServerValue } = await import('firebase-admin/database');
    const app = initializeApp({ databaseURL: url }, label);
    return { db: getDatabase(app), ServerValue, end: () => deleteApp(app) };
  }
  const { default: firebase } = await import('firebase/compat/app');
  await import('firebase/compat/database');
  const app = firebase.initializeApp({ databaseURL: settings.emulator ? `https://${ns}.firebaseio.com` : url }, label);
  if (settings.emulator) app.database().useEmulator(host, port);
  return { db: app.database(), ServerValue: firebase.database.ServerValue, end: () => app.delete() };
}

const one = await open('one');
const two = await open('two');
const a = one.db;
const b = two.db;
const ServerValue = one.ServerValue;
let barrier = 0;
const settled = () => b.ref('barrier').set(++barrier);

const scenarios = {
  async writes() {
    b.ref('w').on('value', (snapshot) => say('b.value', snapshot.val()));
    await settled();
    await a.ref('w').set({ x: 1, y: { z: 2 } });
    await a.ref('w').update({ x: null, 'y/q': 3 });
    await a.ref('w/y').remove();
    await settled();
    b.ref('w').off();
  },
  async push() {
    const key = a.ref('p').push({ n: 1 });
    await key;
    say('same key', (await b.ref('p').once('value')).hasChild(key.key), key.key.length);
  },
  async priorities() {
    await a.ref('r/x').setWithPriority('v', 2);
    await a.ref('r/y').setWithPriority('w', 1);
    await a.ref('r/x').setPriority(0);
    const order = [];
    const snapshot = await b.ref('r').once('value');
    snapshot.forEach((child) => { order.push([child.key, child.getPriority()]); });
    say('order', order, snapshot.exportVal());
  },
  async children() {
    await a.ref('c').set({ m: 1, k: 2 });
    const c = b.ref('c');
    c.on('child_added', (snapshot, before) => say('added', snapshot.key, before ?? null));
    c.on('child_changed', (snapshot, before) => say('changed', snapshot.key, before ?? null));
    c.on('child_moved', (snapshot, before) => say('moved', snapshot.key, before ?? null));
    c.on('child_removed', (snapshot) => say('removed', snapshot.key));
    await settled();
    await a.ref('c/l').set(3);
    await a.ref('c/k').setPriority(5);
    await a.ref('c/m').remove();
    await settled();
    c.off();
  },
  async get() {
    await a.ref('g').set([1, 2]);
    say('value', (await b.ref('g').get()).val(), (await b.ref('g/none').get()).exists());
  },
  async transaction() {
    await a.ref('t').set(5);
    const result = await b.ref('t').transaction((n) => (n ?? 0) + 1);
    say('result', result.committed, result.snapshot.val());
    const aborted = await b.ref('t').transaction(() => undefined);
    say('aborted', aborted.committed, aborted.snapshot.val());
  },
  async server_values() {
    const before = Date.now();
    await a.ref('s').set({ at: ServerValue.TIMESTAMP, n: ServerValue.increment(3) });
    await a.ref('s/n').set(ServerValue.increment(0.5));
    const { at, n } = (await b.ref('s').once('value')).val();
    say('value', at - before < 60_000 && at - before > -1000, n);
  },
  async on_disconnect() {
    const three = await open('three');
    await three.db.ref('d').set({ gone: 1, set: 'before', kept: 'kept' });
    await three.db.ref('d/gone').onDisconnect().remove();
    await three.db.ref('d/set').onDisconnect().setWithPriority('after', 1);
    await three.db.ref('d/kept').onDisconnect().set('lost');
    await three.db.ref('d/kept').onDisconnect().cancel();
    await three.db.ref('d').onDisconnect().update({ more: ServerValue.increment(1) });
    const left = new Promise((resolve) => b.ref('d').on('value', (snapshot) => { if (snapshot.hasChild('more')) resolve(snapshot.exportVal()); }));
    three.db.goOffline();
    say('left', await left);
    await three.end();
  },
  async info() {
    say('connected', (await b.ref('.info/connected').once('value')).val());
    // The clock is the same; the offset has in it how long this process took to hear of the server's.
    say('offset', Math.abs((await b.ref('.info/serverTimeOffset').once('value')).val()) < 30_000);
  },
};

await settled();
for (const [name, scenario] of Object.entries(scenarios)) {
  say('scenario', name);
  await Promise.race([
    scenario().catch((error) => say('failed', String(error?.stack ?? error))),
    new Promise((resolve) => setTimeout(() => { say('took too long', name); resolve(); }, 60_000).unref()),
  ]);
}
await Promise.all([one.end(), two.end()]);
process.exit(0);
