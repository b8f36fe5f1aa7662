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

const AT_ONCE = 12; // Scenarios, each at a place of its own: most of the time is waiting for acknowledgements.

function hear(asked, report) {
  let shown = null;
  onChildAdded(asked, (snapshot, before) => report('added', snapshot.key, before));
  onChildChanged(asked, (snapshot, before) => report('changed', snapshot.key, before));
  onChildMoved(asked, (snapshot, before) => report('moved', snapshot.key, before));
  onChildRemoved(asked, (snapshot) => report('removed', snapshot.key));
  onValue(asked, (snapshot) => {
    const keys = [];
    snapshot.forEach((child) => { keys.push(child.key); });
    shown = snapshot.exportVal();
    report('value', keys);
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

/** The events of one scenario, in order. */
async function play(scenario, number) {
  const root = `scenarios/${number}`;
  const events = [['scenario', scenario.name]];
  const report = (...event) => events.push(event);
  await set(ref(a, `${root}/list`), scenario.tree);
  const asked = query(ref(b, `${root}/list`), ...scenario.query.map(([name, ...given]) => CONSTRAINTS[name](...given)));
  const shown = hear(asked, report);
  await settled(b);
  for (const step of scenario.steps) {
    report('step');
    await perform(a, root, step.do);
    await settled(b);
  }
  report('shows', shown());
  off(asked);
  return events;
}

const scenarios = JSON.parse(readFileSync(settings.scenarios));
for (let start = 0; start < scenarios.length; start += AT_ONCE) {
  const some = scenarios.slice(start, start + AT_ONCE).map((scenario, index) => play(scenario, start + index));
  for (const events of await Promise.all(some)) {
    for (const event of events) say(...event);
  }
}
await finish();
