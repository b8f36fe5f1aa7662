// What the scripts share: settings from the command line, events out as JSON lines, lines in, clients, and scenarios.
// An event is [name, detail, …]. Scripts only report; what is right is decided by the Python test that started them.
import { deleteApp, initializeApp } from 'firebase/app';
import { connectDatabaseEmulator, getDatabase, off, onValue, ref, set } from 'firebase/database';
import { createInterface } from 'node:readline';

export const settings = JSON.parse(process.argv[2]);
export const SCENARIO_SECONDS = 60;

export function say(name, ...details) {
  process.stdout.write(JSON.stringify([name, ...details]) + '\n');
}

const lines = [];
const waiting = [];
createInterface({ input: process.stdin }).on('line', (line) => {
  const next = waiting.shift();
  next ? next(line) : lines.push(line);
}).on('close', () => process.exit(3));

/** The next line from the test. */
export function told() {
  return lines.length ? Promise.resolve(lines.shift()) : new Promise((resolve) => waiting.push(resolve));
}

const apps = [];

/** A client of its own: one app, one connection. */
export function open(label, more = {}) {
  const { host, port, ns, how } = { ...settings, ...more };
  const url = how === 'url' ? `http://${host}:${port}?ns=${ns}` : `https://${ns}.firebaseio.com`;
  const app = initializeApp({ projectId: 'demo-meadowlark', databaseURL: url }, label);
  const db = getDatabase(app);
  if (how !== 'url') connectDatabaseEmulator(db, host, port, more.options);
  apps.push(app);
  return db;
}

export async function close(db) {
  apps.splice(apps.indexOf(db.app), 1);
  await deleteApp(db.app);
}

/** End the script: clients closed, then out, whatever timers the SDK still has. */
export async function finish() {
  await Promise.all(apps.splice(0).map((app) => deleteApp(app)));
  process.exit(0);
}

let barriers = 0;

/** Returns when everything that the server sent `db` before now has arrived: its own next write is acknowledged after it. */
export function settled(db) {
  return set(ref(db, `barriers/${db.app.name}`), ++barriers);
}

/** The first value at `path` for which `wanted` is true. */
export function seen(db, path, wanted, seconds = 50) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { stop(); reject(new Error(`never saw what was wanted at ${path}; last ${JSON.stringify(last)}`)); }, seconds * 1000);
    let last;
    const stop = onValue(ref(db, path), (snapshot) => {
      last = snapshot.val();
      if (wanted(last)) { clearTimeout(timer); queueMicrotask(() => stop()); resolve(last); }
    }, reject);
  });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What an SDK error looks like to a program. */
export function fault(error) {
  return { code: error.code ?? null, message: error.message };
}

/**
 * Run each scenario in turn: `async name({ a, b, at, say })` gets two clients and a place of its own.
 * `at(db, path)` is a reference below that place. Prints ["scenario", name] before each.
 */
export async function play(scenarios) {
  const a = open('a');
  const b = open('b');
  const only = settings.only ?? Object.keys(scenarios);
  for (const name of only) {
    say('scenario', name);
    const root = `scenarios/${name}`;
    const at = (db, path = '') => ref(db, path ? `${root}/${path}` : root);
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(() => { say('took too long', name); resolve(); }, SCENARIO_SECONDS * 1000); });
    const run = scenarios[name]({ a, b, at, root }).catch((error) => say('failed', String(error?.stack ?? error)));
    await Promise.race([run, late]);
    clearTimeout(timer);
    off(at(a));
    off(at(b));
  }
  await finish();
}
