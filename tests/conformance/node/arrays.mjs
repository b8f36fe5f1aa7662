// Arrays are objects with whole-number keys; when a value becomes an array again is the SDK's rule, so long as we keep the keys.
import { get, onValue, push, ref, set, update } from 'firebase/database';
import { play, say, settled } from './lib.mjs';

const back = async (db, at, path) => (await get(at(db, path))).val();

await play({
  async arrays_come_back_as_arrays({ a, b, at }) {
    await set(at(a), { flat: ['x', 'y', 'z'], nested: [[1, 2], [3]], objects: [{ n: 1 }, { n: 2 }] });
    say('value', await back(b, at, ''));
  },
  async holes_and_nulls({ a, b, at }) {
    await set(at(a), { holes: ['x', null, 'z'], leading: [null, null, 'c'], empty: [], nothing: [null] });
    say('value', await back(b, at, ''));
  },
  async sparse_keys_are_an_object({ a, b, at }) {
    await set(at(a), { dense: { 0: 'a', 1: 'b', 3: 'd' }, sparse: { 0: 'a', 10: 'k' }, mixed: { 0: 'a', x: 'b' }, padded: { '00': 1, '01': 2 } });
    say('value', await back(b, at, ''));
  },
  async elements_are_paths({ a, b, at }) {
    await set(at(a), ['a', 'b', 'c']);
    onValue(at(b), (snapshot) => say('b.value', snapshot.val()));
    await settled(b);
    await set(at(a, '1'), 'B');
    await update(at(a), { 3: 'd', 0: null });
    await settled(b);
  },
  async update_takes_arrays_as_values({ a, b, at }) {
    await update(at(a), { list: [1, 2, 3], 'deep/list': [true] });
    await push(at(a, 'pushed'), ['p']);
    say('value', Object.values((await back(b, at, '')).pushed), await back(b, at, 'list'), await back(b, at, 'deep'));
  },
  async arrays_at_the_root_of_a_listen({ a, b, at }) {
    onValue(at(b), (snapshot) => say('b.value', snapshot.val()));
    await settled(b);
    await set(at(a), [0, 1]);
    await set(at(a, '2'), 2);
    await settled(b);
  },
});
