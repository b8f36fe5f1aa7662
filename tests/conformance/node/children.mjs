// Client a changes a list, client b hears of children: added, changed, moved, removed, each with the key before it.
import {
  get, onChildAdded, onChildChanged, onChildMoved, onChildRemoved, onValue, set, setPriority, setWithPriority, update,
} from 'firebase/database';
import { play, say, settled } from './lib.mjs';

function hear(db, at) {
  onChildAdded(at(db), (snapshot, before) => say('added', snapshot.key, before, snapshot.val()));
  onChildChanged(at(db), (snapshot, before) => say('changed', snapshot.key, before, snapshot.val()));
  onChildMoved(at(db), (snapshot, before) => say('moved', snapshot.key, before));
  onChildRemoved(at(db), (snapshot) => say('removed', snapshot.key, snapshot.val()));
  onValue(at(db), (snapshot) => {
    const keys = [];
    snapshot.forEach((child) => { keys.push(child.key); });
    say('value', keys);
  });
  return settled(db);
}

await play({
  async added_in_key_order_then_as_they_come({ a, b, at }) {
    await set(at(a), { c: 3, a: 1, 10: 'ten', 9: 'nine' });
    await hear(b, at);
    say('then');
    await set(at(a, 'b'), 2);
    await set(at(a, 'd/e'), 4);
    await settled(b);
  },

  async changed({ a, b, at }) {
    await set(at(a), { x: 1, y: { z: 1 } });
    await hear(b, at);
    say('then');
    await set(at(a, 'x'), 2);
    await set(at(a, 'y/z'), 2);
    await set(at(a, 'y/z'), 2);
    await settled(b);
  },

  async removed({ a, b, at }) {
    await set(at(a), { x: 1, y: { z: 1 } });
    await hear(b, at);
    say('then');
    await set(at(a, 'y/z'), null);
    await set(at(a), null);
    await settled(b);
  },

  async moved_by_priority({ a, b, at }) {
    await setWithPriority(at(a, 'x'), 1, 1);
    await setWithPriority(at(a, 'y'), 2, 2);
    await set(at(a, 'z'), 3);
    await hear(b, at);
    say('then');
    await setPriority(at(a, 'z'), 3);
    await settled(b);
    say('then');
    await setPriority(at(a, 'x'), 'text sorts after numbers');
    await settled(b);
  },

  async priorities_order_none_numbers_strings({ a, b, at }) {
    await set(at(a), {
      s: { '.value': 1, '.priority': 'b' }, r: { '.value': 1, '.priority': 'a' }, n: { '.value': 1, '.priority': 10 },
      m: { '.value': 1, '.priority': -1 }, o: 1, k: { x: 1, '.priority': 10 },
    });
    await hear(b, at);
  },

  async one_update_is_one_batch({ a, b, at }) {
    await set(at(a), { keep: 0, gone: 1, change: 2, move: { '.value': 3, '.priority': 1 } });
    await hear(b, at);
    say('then');
    await update(at(a), { gone: null, change: 22, fresh: 4, 'move/.priority': 'last' });
    await settled(b);
  },

  async replacing_the_list_tells_only_differences({ a, b, at }) {
    await set(at(a), { same: { deep: [1, 2] }, other: 1, gone: true });
    await hear(b, at);
    say('then');
    await set(at(a), { same: { deep: [1, 2] }, other: 2, fresh: 1 });
    await settled(b);
  },

  async integer_keys_come_first_in_number_order({ a, b, at }) {
    const keys = ['b', '2', '10', '-1', '01', '1', '2147483647', '2147483648', '-2147483648', 'A', '_', '-'];
    await set(at(a), Object.fromEntries(keys.map((key) => [key, true])));
    await hear(b, at);
  },

  async a_list_that_becomes_a_leaf_and_back({ a, b, at }) {
    await set(at(a), { x: 1, y: 2 });
    await hear(b, at);
    say('then');
    await set(at(a), 'leaf');
    await settled(b);
    say('then');
    await set(at(a, 'x'), 1);
    await settled(b);
  },

  async a_later_listener_hears_the_children_again({ a, b, at }) {
    await set(at(a), { x: 1, y: 2 });
    onValue(at(b), () => {});
    await settled(b);
    await hear(b, at);
  },

  async both_sides_add_and_agree({ a, b, at }) {
    await hear(b, at);
    const writes = [];
    for (let i = 0; i < 50; i++) writes.push(set(at(i % 2 ? a : b, `k${String(i).padStart(2, '0')}`), i));
    await Promise.all(writes);
    await settled(a);
    await settled(b);
    const [one, two] = await Promise.all([get(at(a)), get(at(b))]);
    say('agree', JSON.stringify(one.val()) === JSON.stringify(two.val()), Object.keys(two.val()).length);
  },
});
