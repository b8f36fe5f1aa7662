// What happens around queries: several on one path, their ends, reading once, coming back, and being the one who writes.
import {
  equalTo, get, goOffline, goOnline, limitToFirst, limitToLast, onChildAdded, onChildRemoved, onValue, orderByChild, orderByKey, query,
  runTransaction, set, startAt, update,
} from 'firebase/database';
import { fault, play, say, settled } from './lib.mjs';

const PEOPLE = { ada: { n: 1 }, bob: { n: 2 }, cy: { n: 3 }, dan: { n: 4 } };

function keys(snapshot) {
  const found = [];
  snapshot.forEach((child) => { found.push(child.key); });
  return found;
}

function hear(name, asked) {
  return onValue(asked, (snapshot) => say(name, keys(snapshot), snapshot.val()), (error) => say(`${name}.cancelled`, fault(error)));
}

await play({
  async several_on_one_path({ a, b, at }) {
    await set(at(a), PEOPLE);
    hear('first', query(at(b), orderByChild('n'), limitToFirst(2)));
    hear('last', query(at(b), orderByChild('n'), limitToLast(1)));
    hear('equal', query(at(b), orderByChild('n'), equalTo(3)));
    hear('key', query(at(b), orderByKey(), startAt('cy')));
    await settled(b);
    say('then');
    await update(at(a), { 'dan/n': 0, eve: { n: 3 } });
    await settled(b);
  },

  async one_ends_and_the_others_go_on({ a, b, at }) {
    await set(at(a), PEOPLE);
    const stop = hear('first', query(at(b), orderByChild('n'), limitToFirst(2)));
    hear('last', query(at(b), orderByChild('n'), limitToLast(2)));
    await settled(b);
    stop();
    say('then');
    await update(at(a), { ada: null, dan: null });
    await settled(b);
    say('again');
    hear('first', query(at(b), orderByChild('n'), limitToFirst(2)));
    await settled(b);
  },

  async a_query_beside_the_whole({ a, b, at }) {
    await set(at(a), PEOPLE);
    hear('first', query(at(b), orderByChild('n'), limitToFirst(1)));
    await settled(b);
    const stop = hear('whole', at(b));
    await settled(b);
    await set(at(a, 'bob/n'), 0);
    await settled(b);
    stop();
    await set(at(a, 'ada/n'), -1);
    await settled(b);
  },

  async who_writes_sees_its_own_window_change_once({ a, at }) {
    await set(at(a), PEOPLE);
    hear('first', query(at(a), orderByChild('n'), limitToFirst(2)));
    await settled(a);
    say('then');
    await set(at(a, 'cy/n'), 1.5);
    await settled(a);
    await set(at(a, 'cy'), null);
    await settled(a);
  },

  async read_once({ a, b, at }) {
    await set(at(a), { ...PEOPLE, 10: { n: 9 }, 9: { n: 9 } });
    say('get', keys(await get(query(at(b), orderByKey(), limitToFirst(3)))));
    say('get', keys(await get(query(at(b), orderByKey(), startAt('bob'), limitToLast(2)))));
    say('get', keys(await get(query(at(b), limitToLast(2)))));
    say('get', (await get(query(at(b, 'ada/n'), orderByKey(), limitToLast(2)))).val());
    await get(query(at(b), orderByChild('n'), limitToFirst(1))).catch((error) => say('refused', error.message));
  },

  async warned_of({ b, at }) {
    const { warn } = console;
    console.warn = (...words) => say('warned', words.join(' '));
    hear('first', query(at(b), orderByChild('n'), limitToFirst(1)));
    await settled(b);
    console.warn = warn;
  },

  async come_back({ a, b, at }) {
    await set(at(a), PEOPLE);
    const asked = query(at(b), orderByChild('n'), limitToFirst(2));
    onChildAdded(asked, (snapshot) => say('added', snapshot.key));
    onChildRemoved(asked, (snapshot) => say('removed', snapshot.key));
    hear('first', asked);
    await settled(b);
    goOffline(b);
    say('then');
    goOnline(b);
    await settled(b);
    goOffline(b);
    await update(at(a), { ada: null, 'bob/n': 2.5 });
    goOnline(b);
    await settled(b);
  },

  async transactions_under_a_query({ a, b, at }) {
    await set(at(a), PEOPLE);
    hear('first', query(at(b), orderByChild('n'), limitToFirst(2)));
    await settled(b);
    say('then');
    await Promise.all([
      runTransaction(at(b, 'dan/n'), (n) => (n ?? 0) - 10),
      runTransaction(at(b, 'ada/n'), (n) => (n ?? 0) + 10),
    ]);
    await settled(b);
    say('in the end', (await get(at(a))).val());
  },
});
