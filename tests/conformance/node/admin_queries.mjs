// Queries with firebase-admin for Node: each of `asked` read once, listened to, and read with `get`; then a transaction under contention.
import { deleteApp, initializeApp } from 'firebase-admin/app';
import { getDatabase } from 'firebase-admin/database';
import { say, settings } from './lib.mjs';

const { host, port, ns } = settings;
const open = (label) => getDatabase(initializeApp({ databaseURL: `http://${host}:${port}?ns=${ns}` }, label));
const one = open('one');
const two = open('two');

/** `[["orderByChild", "n"], ["startAt", 1]]` as a query of the SDK. */
const make = (path, steps) => steps.reduce((query, [name, ...given]) => query[name](...given), one.ref(path));
const keys = (snapshot) => { const found = []; snapshot.forEach((child) => { found.push(child.key); }); return found; };

for (const [name, path, steps] of settings.asked) {
  say('scenario', name);
  say('once', keys(await make(path, steps).once('value')));
  say('get', keys(await make(path, steps).get()));
  const listened = make(path, steps);
  const added = [];
  listened.on('child_added', (snapshot) => added.push(snapshot.key));
  await listened.once('value');
  say('added', added);
  listened.off();
}

say('scenario', 'contention');
const counter = (db) => db.ref('counter').transaction((n) => (n ?? 0) + 1);
await Promise.all(Array.from({ length: 10 }, () => [counter(one), counter(two)]).flat());
say('counter', (await one.ref('counter').get()).val());
const kept = await one.ref('counter').transaction(() => undefined);
say('aborted', kept.committed, (await one.ref('counter').get()).val());

await Promise.all([one, two].map((db) => deleteApp(db.app)));
process.exit(0);
