/* One place with many children and many limited queries open on it, driven by a database's own client library.
 *
 * Phases: fill, listen, write, move, get; each is announced as one line of JSON when it is over, and the next begins when a line comes
 * on standard input, so that whoever reads samples the server in between. One thing is done after the other: cost is the
 * question, not load. A phase ends after its count or its seconds, whichever comes first.
 * --peer NAME picks NAME.queries.mjs, whose `connect` answers {fill(from, children), listen(low, heard), set(key, field, value), get(low)}.
 * Does not know: any database's protocol.
 */
import { parseArgs } from 'node:util';
import { once } from 'node:events';
import process from 'node:process';

const names = ['peer', 'host', 'port', 'auth', 'children', 'queries', 'operations', 'seconds', 'limit', 'connections'];
const { values: given } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) });
const number = (name, otherwise) => Number(given[name] ?? otherwise);
const wanted = number('children', 100000), queries = number('queries', 1000), operations = number('operations', 200);
const seconds = number('seconds', 10), limit = number('limit', 20);
const FILL_AT_ONCE = 2000;
const FILL_SECONDS = 40;
const HEARD_MS_MAX = 5000; /* Nobody hears of a write that shows in no window. */

for (const level of ['log', 'info', 'warn', 'error', 'debug']) console[level] = () => {};
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const lines = process.stdin.setEncoding('utf8');
const go = () => once(lines, 'data');
lines.on('end', () => process.exit(2)); /* Who started it is gone. */

function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/* What takes longer than this will not come: then the phase before was the last. */
const ANSWER_SECONDS_MAX = 15;
function answered(what, promise) {
  const late = setTimeout(() => {
    say({ event: 'failed', why: `${what} was not answered in ${ANSWER_SECONDS_MAX} s` });
    process.exit(1);
  }, ANSWER_SECONDS_MAX * 1000);
  return promise.finally(() => clearTimeout(late));
}

/* Does `one` again and again, and gives what each took in milliseconds. */
async function timed(count, one) {
  const times = [], until = performance.now() + seconds * 1000;
  for (let turn = 0; turn < count && performance.now() < until; turn++) {
    const startedAt = performance.now();
    await one(turn);
    times.push(performance.now() - startedAt);
  }
  return summary(times);
}

/* The name of the child at that place of the order. */
const key = (index) => `k${String(index).padStart(8, '0')}`;
const peer = await import(new URL(`${given.peer}.queries.mjs`, import.meta.url));
const clients = [];
for (let index = 0; index < number('connections', 10); index++) {
  clients.push(await peer.connect({ host: given.host, port: Number(given.port), credential: given.auth, limit, index }));
}
const writer = clients[0], reader = clients.at(-1);
say({ event: 'connected' });

await go();
let startedAt = performance.now();
const atOnce = peer.fillAtOnce ?? FILL_AT_ONCE;
let children = 0; /* As many as fit into the time. */
for (let from = 0; from < wanted && performance.now() < startedAt + FILL_SECONDS * 1000; from += atOnce) {
  const some = {};
  for (let index = from; index < Math.min(wanted, from + atOnce); index++) some[key(index)] = { n: index, text: 'hello', by: 'ada' };
  await writer.fill(some);
  children += Object.keys(some).length;
}
say({ event: 'filled', children, seconds: (performance.now() - startedAt) / 1000 });

await go();
/* The windows lie evenly over the children. The first listen makes the index, if there is one, and is told apart. */
let waiting; /* {key, heard}: a write whose push somebody waits for. */
const heard = (changed) => {
  if (waiting?.key === changed) waiting.heard();
};
const low = (turn) => Math.floor((turn * children) / queries);
startedAt = performance.now();
await answered('the first listen', clients[1 % clients.length].listen(low(0), heard));
const first = performance.now() - startedAt;
const opened = await timed(queries - 1, (turn) => answered('a listen', clients[turn % clients.length].listen(low(turn + 1), heard)));
say({ event: 'listening', first, ...opened, count: opened.count + 1 });

await go();
/* A field by which nobody orders, in a child that one window shows: until its writer has been answered, and until the window told. */
const pushes = [], answers = [];
const open = opened.count + 1;
await timed(operations, async (turn) => {
  const changed = key(low((turn * 7) % open) + 1), begunAt = performance.now();
  const told = new Promise((done) => {
    const late = setTimeout(done, HEARD_MS_MAX);
    waiting = { key: changed, heard: () => { clearTimeout(late); pushes.push(performance.now() - begunAt); done(); } };
  });
  await answered('a write', writer.set(changed, 'text', `hello ${turn}`));
  answers.push(performance.now() - begunAt);
  await told;
});
say({ event: 'written', ...summary(answers), heard: summary(pushes) });

await go();
/* The child moves to the other end of the order, or back. */
say({ event: 'moved', ...(await timed(operations, (turn) => answered('a move', writer.set(key((turn * 977) % children), 'n', (turn * 7919) % children)))) });

await go();
say({ event: 'read', ...(await timed(operations, (turn) => answered('a get', reader.get(low((turn * 13) % queries))))) });
process.exit(0);
