// The stories of tests/specs/stories.json, which its README explains: client `me` listens and acts, client `other` acts.
import {
  endAt, endBefore, equalTo, get, goOffline, goOnline, limitToFirst, limitToLast, off, onChildAdded, onChildChanged, onChildMoved,
  onChildRemoved, onDisconnect, onValue, orderByChild, orderByKey, orderByPriority, orderByValue, push, query, ref, remove,
  runTransaction, set, setPriority, setWithPriority, startAfter, startAt, update,
} from 'firebase/database';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { close, finish, open, pause, say, settings, settled } from './lib.mjs';

const CONSTRAINTS = {
  endAt, endBefore, equalTo, limitToFirst, limitToLast, orderByChild, orderByKey, orderByPriority, orderByValue, startAfter, startAt,
};
const FUNCTIONS = {
  'add one': (value) => (value ?? 0) + 1,
  'add x': (value) => ({ ...value, x: 1 }),
  'leave it': () => undefined,
  'remove it': () => null,
};
const told = ({ snapshot, committed }) => [committed, snapshot.exportVal()];
const VERBS = {
  set, update, remove, setPriority,
  push: (at, value) => push(at, value).then(() => undefined),
  setWithPriority: (at, [value, priority]) => setWithPriority(at, value, priority),
  get: (at) => get(at).then((snapshot) => [snapshot.exportVal()]),
  transaction: (at, name) => runTransaction(at, FUNCTIONS[name]).then(told),
  'quiet transaction': (at, name) => runTransaction(at, FUNCTIONS[name], { applyLocally: false }).then(told),
  'onDisconnect.set': (at, value) => onDisconnect(at).set(value),
  'onDisconnect.setWithPriority': (at, [value, priority]) => onDisconnect(at).setWithPriority(value, priority),
  'onDisconnect.update': (at, values) => onDisconnect(at).update(values),
  'onDisconnect.remove': (at) => onDisconnect(at).remove(),
  'onDisconnect.cancel': (at) => onDisconnect(at).cancel(),
};

/** Keys made by `push` are named in the order in which they are told of. */
const made = [];
const known = (key) => {
  if (key?.length !== 20) return key;
  if (!made.includes(key)) made.push(key);
  return `pushed ${made.indexOf(key) + 1}`;
};
const plain = (value) => (value && typeof value === 'object'
  ? Object.fromEntries(Object.entries(value).map(([key, member]) => [known(key), plain(member)])) : value);

function hear(place, label) {
  const ended = (error) => say(label, 'ended', error.code);
  const tell = (kind, snapshot, before) => say(label, kind, known(snapshot.key), known(before), plain(snapshot.exportVal()));
  const heard = {};
  onChildAdded(place, (snapshot, before) => tell('added', snapshot, before));
  onChildChanged(place, (snapshot, before) => tell('changed', snapshot, before));
  onChildMoved(place, (snapshot, before) => tell('moved', snapshot, before));
  onChildRemoved(place, (snapshot) => tell('removed', snapshot, null));
  onValue(place, (snapshot) => {
    const keys = [];
    snapshot.forEach((child) => { keys.push(known(child.key)); });
    heard.value = snapshot.exportVal();
    say(label, 'value', keys, plain(heard.value));
  }, ended);
  return heard;
}

async function act(clients, [who, verb, path, value], root, heard) {
  const at = ref(clients[who], `${root}/${path}`);
  if (verb === 'offline') goOffline(clients[who]);
  else if (verb === 'online') goOnline(clients[who]);
  else if (verb === 'leave') {
    await close(clients[who]);
    clients[who] = open(`${who} ${Math.random()}`);
  } else if (verb === 'until') {
    for (let tries = 0; !isDeepStrictEqual(heard[path].value, value); tries++) {
      if (tries > 1000) throw new Error(`${path} never became ${JSON.stringify(value)}: ${JSON.stringify(heard[path].value)}`);
      await pause(20);
    }
  } else {
    const { code, message, result } = await VERBS[verb](at, value).then((result) => ({ result }), (error) => error);
    if (message) {
      say('refused', verb, code ?? message.split(':')[0].toUpperCase().replace(' ', '_'));
      say('reason', verb, message);
    } else if (who === 'me') say('done', verb, ...(result ?? []).map(plain));
  }
}

const asked = (db, root, [path, ...constraints]) => query(
  ref(db, path.startsWith('^') ? path.slice(1) : `${root}/${path}`), ...constraints.map(([word, ...given]) => CONSTRAINTS[word](...given)));

const clients = { me: open('me'), other: open('other') };
for (const { name, hears = {}, steps } of JSON.parse(readFileSync(settings.stories))) {
  const root = `${settings.root}/${name}`;
  say('scenario', name);
  const heard = {};
  for (const [label, what] of Object.entries(hears)) heard[label] = hear(asked(clients.me, root, what), label);
  await settled(clients.me);
  let isOnline = true;
  const waiting = [];
  for (const step of steps) {
    say('step');
    const parts = typeof step[0] === 'string' ? [step] : step;
    const begun = parts.map((part) => act(clients, part, root, heard));
    for (const [who, verb] of parts) if (who === 'me' && (verb === 'offline' || verb === 'online')) isOnline = verb === 'online';
    waiting.push(...begun);
    // Without a connection a write waits for one: its outcome comes with a later step.
    if (isOnline) await Promise.all(waiting.splice(0)).then(() => settled(clients.me));
    else await Promise.all(begun.filter((_, index) => parts[index][0] === 'other'));
  }
  for (const what of Object.values(hears)) off(asked(clients.me, root, what));
}
await finish();
