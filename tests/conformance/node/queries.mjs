// The scenarios of tests/specs/queries.json: client a writes, client b listens to a query and says what it is told.
import {
  endAt, endBefore, equalTo, limitToFirst, limitToLast, off, onChildAdded, onChildChanged, onChildMoved, onChildRemoved, onValue,
  orderByChild, orderByKey, orderByPriority, orderByValue, query, ref, set, setPriority, startAfter, startAt, update,
} from 'firebase/database';
import { readFileSync } from 'node:fs';
import { finish, open, say, settings, settled } from './lib.mjs';

const CONSTRAINTS = {
  endAt, endBefore, equalTo, limitToFirst, limitToLast, orderByChild, orderByKey, orderByPriority, orderByValue, startAfter, startAt,
};

function hear(asked) {
  let shown = null;
  onChildAdded(asked, (snapshot, before) => say('added', snapshot.key, before));
  onChildChanged(asked, (snapshot, before) => say('changed', snapshot.key, before));
  onChildMoved(asked, (snapshot, before) => say('moved', snapshot.key, before));
  onChildRemoved(asked, (snapshot) => say('removed', snapshot.key));
  onValue(asked, (snapshot) => {
    const keys = [];
    snapshot.forEach((child) => { keys.push(child.key); });
    shown = snapshot.exportVal();
    say('value', keys);
  });
  return () => shown;
}

function perform(db, root, [kind, path, value]) {
  const at = (text) => ref(db, text ? `${root}/${text}` : root);
  if (kind === 'update') return update(at(path), value);
  if (path.endsWith('/.priority')) return setPriority(at(path.slice(0, -'/.priority'.length)), value);
  return set(at(path), value);
}

const a = open('a');
const b = open('b');
for (const [number, scenario] of JSON.parse(readFileSync(settings.scenarios)).entries()) {
  const root = `scenarios/${number}`;
  say('scenario', scenario.name);
  await set(ref(a, `${root}/list`), scenario.tree);
  const asked = query(ref(b, `${root}/list`), ...scenario.query.map(([name, ...given]) => CONSTRAINTS[name](...given)));
  const shown = hear(asked);
  await settled(b);
  for (const step of scenario.steps) {
    say('step');
    await perform(a, root, step.do);
    await settled(b);
  }
  say('shows', shown());
  off(asked);
}
await finish();
