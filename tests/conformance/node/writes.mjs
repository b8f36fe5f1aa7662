// Client a writes, client b watches: every kind of write of this SDK, one scenario each.
import {
  get, increment, onValue, push, ref, remove, serverTimestamp, set, setPriority, setWithPriority, update,
} from 'firebase/database';
import { play, say, settled } from './lib.mjs';

/** Report every value that `db` sees at `reference` from now on; returns when the first has come. */
function watch(label, reference) {
  return new Promise((resolve, reject) => onValue(reference, (snapshot) => { say(label, snapshot.val()); resolve(); }, reject));
}

await play({
  async set({ a, b, at }) {
    await watch('a.value', at(a));
    await watch('b.value', at(b));
    await set(at(a, 'x'), { n: 1, s: 'two', t: true, f: false, nested: { deep: 0.5 } });
    say('a.acknowledged');
    await settled(b);
  },

  async set_replaces({ a, b, at }) {
    await set(at(a), { old: 1, kept: 1 });
    await watch('b.value', at(b));
    await set(at(a), { kept: 2 });
    await settled(b);
  },

  async set_null_removes_empty_parents({ a, b, at }) {
    await set(at(a, 'p/q/r'), 1);
    await set(at(a, 's'), 1);
    await watch('b.value', at(b));
    await set(at(a, 'p/q/r'), null);
    await settled(b);
    await set(at(a, 's'), {});
    await settled(b);
  },

  async update({ a, b, at }) {
    await set(at(a), { one: 1, two: { x: 1, y: 2 }, three: 3 });
    await watch('b.value', at(b));
    await update(at(a), { one: 'eins', two: { z: 3 }, three: null, four: [1, 2] });
    await settled(b);
  },

  async update_of_many_paths({ a, b, at }) {
    await set(at(a), { users: { u: { name: 'old', age: 1 } }, posts: { p: 'gone' } });
    await watch('b.value', at(b));
    await watch('b.name', at(b, 'users/u/name'));
    await update(at(a), { 'users/u/name': 'new', 'posts/p': null, 'posts/q/title': 'here', 'count': 1 });
    await settled(b);
  },

  async push({ a, b, at }) {
    await watch('b.value', at(b));
    const first = push(at(a), 'first');
    const second = push(at(a), { n: 2 });
    const third = push(at(a));
    await Promise.all([first, second, set(third, 3)]);
    say('keys', first.key, second.key, third.key);
    await settled(b);
    const snapshot = await get(at(b));
    const inOrder = [];
    snapshot.forEach((child) => { inOrder.push([child.key, child.val()]); });
    say('order', inOrder);
  },

  async remove({ a, b, at }) {
    await set(at(a), { a: 1, b: { c: 1 } });
    await watch('b.value', at(b));
    await remove(at(a, 'b'));
    await remove(at(a, 'never/there'));
    await settled(b);
    await remove(at(a));
    await settled(b);
  },

  async set_with_priority({ a, b, at }) {
    onValue(at(b), (snapshot) => say('b.value', snapshot.exportVal(), snapshot.priority));
    await settled(b);
    await setWithPriority(at(a), { leaf: 1 }, 'high');
    await setWithPriority(at(a, 'leaf'), 2, 7);
    await settled(b);
    await set(at(a, 'leaf'), 3);
    await settled(b);
  },

  async set_priority({ a, b, at }) {
    await set(at(a), { leaf: 1, branch: { x: 1 } });
    onValue(at(b), (snapshot) => say('b.value', snapshot.exportVal()));
    await settled(b);
    await setPriority(at(a, 'leaf'), 1.5);
    await setPriority(at(a, 'branch'), 'p');
    await setPriority(at(a, 'absent'), 'p');
    await settled(b);
    await setPriority(at(a, 'leaf'), null);
    await settled(b);
  },

  async child_write_keeps_priority_above({ a, b, at }) {
    await setWithPriority(at(a, 'leaf'), 'text', 5);
    await set(at(a, 'leaf/now/branch'), 1);
    await update(at(a, 'leaf'), { more: 2 });
    say('b.value', (await get(at(b))).exportVal());
  },

  async get({ a, b, at }) {
    await set(at(a), { leaf: 'x', branch: { y: [1, 2, 3] } });
    say('whole', (await get(at(b))).val());
    say('leaf', (await get(at(b, 'leaf'))).val());
    say('below a leaf', (await get(at(b, 'leaf/nothing'))).val());
    const missing = await get(at(b, 'missing'));
    say('missing', missing.val(), missing.exists());
    await set(at(a, 'leaf'), 'changed');
    say('again', (await get(at(b, 'leaf'))).val());
  },

  async increment({ a, b, at }) {
    await set(at(a), { n: 5, f: 1.5, text: 'not a number' });
    await Promise.all([
      set(at(a, 'n'), increment(1)), set(at(b, 'n'), increment(10)), set(at(a, 'n'), increment(-3)),
      set(at(a, 'f'), increment(0.25)), set(at(a, 'text'), increment(2)), set(at(a, 'fresh'), increment(4)),
      update(at(a), { 'deep/er': increment(1) }),
    ]);
    say('b.value', (await get(at(b))).val());
  },

  async increments_from_two_sides({ a, b, at }) {
    const writes = [];
    for (let i = 0; i < 100; i++) writes.push(set(at(i % 2 ? a : b, 'n'), increment(1)));
    await Promise.all(writes);
    say('a.value', (await get(at(a, 'n'))).val());
    say('b.value', (await get(at(b, 'n'))).val());
  },

  async server_timestamp({ a, b, at }) {
    const before = Date.now();
    await set(at(a), { at: serverTimestamp(), again: { at: serverTimestamp() } });
    await setWithPriority(at(a, 'ordered'), 1, serverTimestamp());
    const snapshot = await get(at(b));
    say('stamps', before, snapshot.val(), Date.now(), snapshot.child('ordered').priority);
    say('own', (await get(at(a))).val());
  },

  async a_writer_sees_its_own_write_once({ a, at }) {
    await watch('a.value', at(a));
    await set(at(a), 1);
    await update(at(a), { x: 1, y: serverTimestamp() && 2 });
    await set(at(a, 'x'), 3);
    say('a.acknowledged');
    await settled(a);
  },

  async five_hundred_writes_in_flight({ a, b, at }) {
    await watch('b.value', at(b));
    const writes = [];
    for (let i = 1; i <= 500; i++) writes.push(set(at(a), i));
    await Promise.all(writes);
    await settled(b);
  },

  async listeners_hear_only_what_concerns_them({ a, b, at }) {
    await set(at(a), { left: { x: 1 }, right: { y: 1 } });
    await watch('left', at(b, 'left'));
    await watch('x', at(b, 'left/x'));
    await watch('y', at(b, 'right/y'));
    await set(at(a, 'left/x'), 2);
    await set(at(a, 'left/z'), 3);
    await set(at(a), { left: { x: 2, z: 3 }, right: { y: 9 } });
    await remove(at(a));
    await settled(b);
  },

  async a_listener_that_is_off_hears_nothing({ a, b, at }) {
    await set(at(a), 1);
    let stop;
    await new Promise((resolve) => { stop = onValue(at(b), (snapshot) => { say('b.value', snapshot.val()); resolve(); }); });
    await set(at(a), 2);
    await settled(b);
    stop();
    await set(at(a), 3);
    await settled(b);
    onValue(at(b), (snapshot) => say('b.again', snapshot.val()));
    await settled(b);
  },

  async once({ a, b, at }) {
    await set(at(a), 1);
    onValue(at(b), (snapshot) => say('b.once', snapshot.val()), { onlyOnce: true });
    await settled(b);
    await set(at(a), 2);
    await settled(b);
  },

  async numbers({ a, b, at }) {
    const numbers = [
      0, -0, 1, -1, 0.1, 0.1 + 0.2, 1e21, 1e-7, 123456789012345680000, 2 ** 31, -(2 ** 31), 2 ** 48 - 1, 2 ** 53 - 1, 2 ** 53,
      -(2 ** 53), Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, 1 / 3,
    ];
    await set(at(a), numbers.map((n) => ({ n })));
    const back = (await get(at(b))).val().map((entry) => entry.n);
    say('same', back.length, numbers.map((n, i) => n === back[i]).indexOf(false));
    onValue(at(b, 'one'), () => {});
    for (const n of numbers) {
      await set(at(a, 'one'), n);
      await settled(b);
      const one = (await get(at(b, 'one'))).val();
      if (one !== n) say('differs', n, one);
    }
  },

  async leaves_and_branches({ a, b, at }) {
    await watch('b.value', at(b));
    for (const value of ['', 0, false, 'text', { x: { y: 1 } }, 'leaf again', { x: '' }]) await set(at(a), value);
    await settled(b);
  },

  async keys_at_the_limits({ a, b, at }) {
    // The SDK allows 768 bytes for a whole path, so the longest key stands at the root.
    const longest = 'k'.repeat(767);
    const twoBytes = 'é'.repeat(383);
    const deep = Array.from({ length: 29 }, (_, i) => `d${i}`).join('/');
    await set(ref(a, longest), 1);
    await set(ref(a, twoBytes), 2);
    await set(at(a, deep), 3);
    say('b.value', [(await get(ref(b, longest))).val(), (await get(ref(b, twoBytes))).val(), (await get(at(b, deep))).val()]);
  },

  async root_is_a_path_like_any({ a, b }) {
    const before = (await get(ref(b, 'beside'))).val();
    await update(ref(a), { beside: 'the rest' });
    say('b.value', before, (await get(ref(b, 'beside'))).val());
    say('rest stays', (await get(ref(b, 'scenarios/set/x/n'))).val());
  },
});
