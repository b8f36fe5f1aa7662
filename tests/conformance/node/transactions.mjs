// Transactions: read, compute, compare and set, again until nobody was faster.
import { get, onValue, runTransaction, serverTimestamp, set, setWithPriority } from 'firebase/database';
import { play, say, seen, settled } from './lib.mjs';

const keep = (db, at) => new Promise((resolve) => onValue(at(db), resolve));

await play({
  async on_nothing({ a, b, at }) {
    const result = await runTransaction(at(a), (current) => { say('ran with', current); return 1; });
    say('result', result.committed, result.snapshot.val());
    say('b.value', (await get(at(b))).val());
  },

  async on_a_value_never_seen_starts_from_null({ a, b, at }) {
    await set(at(b), 41);
    const result = await runTransaction(at(a), (current) => { say('ran with', current); return (current ?? 0) + 1; });
    say('result', result.committed, result.snapshot.val());
    say('b.value', (await get(at(b))).val());
  },

  async on_a_known_value_runs_once({ a, b, at }) {
    await set(at(b), 41);
    await keep(a, at);
    const result = await runTransaction(at(a), (current) => { say('ran with', current); return current + 1; });
    say('result', result.committed, result.snapshot.val());
  },

  async undefined_aborts({ a, b, at }) {
    await set(at(b), 'taken');
    await keep(a, at);
    const result = await runTransaction(at(a), (current) => (current === null ? 'mine' : undefined));
    say('result', result.committed, result.snapshot.val());
    say('b.value', (await get(at(b))).val());
  },

  async may_remove({ a, b, at }) {
    await set(at(b), { x: 1 });
    await keep(a, at);
    const result = await runTransaction(at(a), () => null);
    say('result', result.committed, result.snapshot.val());
    say('b.value', (await get(at(b))).val());
  },

  async not_applied_locally_shows_only_the_outcome({ a, b, at }) {
    await set(at(b), 1);
    onValue(at(a), (snapshot) => say('a.value', snapshot.val()));
    await settled(a);
    await runTransaction(at(a), (current) => (current ?? 0) + 1, { applyLocally: false });
    await settled(a);
  },

  async applied_locally_shows_its_guess({ a, b, at }) {
    await set(at(b), 1);
    onValue(at(a), (snapshot) => say('a.value', snapshot.val()));
    await settled(a);
    await runTransaction(at(a), (current) => current + 1);
    await settled(a);
  },

  async a_set_over_it_cancels_it({ a, at }) {
    await keep(a, at);
    const running = runTransaction(at(a), () => 'transaction').then(
      (result) => say('result', result.committed, result.snapshot.val()), (error) => say('error', error.message));
    const written = set(at(a), 'set');
    await Promise.all([running, written]);
    say('value', (await get(at(a))).val());
  },

  async takes_server_values({ a, b, at }) {
    await keep(a, at);
    const offset = await seen(a, '.info/serverTimeOffset', (value) => value !== null);
    const before = Date.now();
    const result = await runTransaction(at(a), () => ({ when: serverTimestamp() }));
    await settled(a);
    const own = (await get(at(a))).val().when;
    say('result', result.committed, before, result.snapshot.val().when, own, (await get(at(b))).val().when, Date.now(), offset);
  },

  async minds_the_priority({ a, b, at }) {
    await setWithPriority(at(b), { x: 1 }, 'p');
    await keep(a, at);
    const result = await runTransaction(at(a), (current) => { say('ran with', current); return { x: current.x + 1, '.priority': 'q' }; });
    say('result', result.committed, result.snapshot.exportVal());
  },

  // The SDK's hash of a value must be ours for a transaction to be accepted: every kind of value that could make a difference.
  async hashes_agree_on_every_kind_of_value({ a, b, at }) {
    const values = [
      true, false, 0, -0, 1, -1, 0.1, 1e300, -1e-300, 5e-324, 2 ** 31, 2 ** 48 - 1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53, 2 ** -1022,
      2 ** -3, 1 / 3, 1 - 2 ** -53, '', 'text', 'ü', '\u2028\u2029', '😀', '\u0000\u001f', 'a:b:c', '"quoted"\\', 'é', 'e\u0301', '\uffff😀',
      { a: 1 }, { 1: 'x', 10: 'y', 2: 'z', b: { c: { d: 1 } } }, [1, [2, [3]], null, 4],
      { '😀': 1, '\uffff': 2, '\uff00': 3, 'z': 4 }, { '-1': 1, '01': 2, 1: 3, '001': 4, '-0': 5, 0: 6, 2147483648: 7 },
      { x: { '.value': 'v', '.priority': 1 }, y: { '.value': 'v', '.priority': 'p' }, z: { deep: 1, '.priority': 0.5 } },
      { '.value': 'v', '.priority': -1 }, { x: 1, '.priority': 'ü😀' }, { s: { '.value': 1, '.priority': '' }, t: 1 },
    ];
    for (const [index, value] of values.entries()) {
      await set(at(b, `${index}`), value);
      await new Promise((resolve) => onValue(at(a, `${index}`), resolve));
      let runs = 0;
      try {
        const result = await runTransaction(at(a, `${index}`), () => { runs++; return 'replaced'; });
        if (!result.committed || runs !== 1) say('odd', index, JSON.stringify(value), result.committed, runs);
      } catch (error) {
        say('odd', index, JSON.stringify(value), error.message, runs);
      }
    }
    say('tried', values.length);
  },

  async hashes_agree_on_random_trees({ a, b, at }) {
    let seed = 20240601;
    const chance = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor((seed / 2147483648) * n); };
    const keys = ['a', 'b', '1', '2', '10', '-5', '007', 'é', '日本', '😀', '\uffee', 'key with space', '%41', '_', '-'];
    const leaves = [1, -7, 0.5, 'x', '', 'ß😀', true, false, 1e17, 2 ** 40 + 1];
    const priorities = [0, 3, -1.5, 'p', 'ÿ', '😀'];
    const leaf = () => leaves[chance(leaves.length)];
    const make = (depth) => {
      if (depth === 0 || chance(3) === 0) return chance(4) ? leaf() : { '.value': leaf(), '.priority': priorities[chance(priorities.length)] };
      const node = {};
      for (let i = 1 + chance(5); i > 0; i--) node[keys[chance(keys.length)]] = make(depth - 1);
      if (chance(4) === 0) node['.priority'] = priorities[chance(priorities.length)];
      return node;
    };
    let odd = 0;
    for (let index = 0; index < 60; index++) {
      const value = make(4);
      await set(at(b, `t${index}`), value);
      await new Promise((resolve) => onValue(at(a, `t${index}`), resolve));
      let runs = 0;
      const outcome = await runTransaction(at(a, `t${index}`), () => { runs++; return index; }).then((r) => r.committed, (e) => e.message);
      if ((outcome !== true || runs !== 1) && odd++ < 3) say('odd', index, JSON.stringify(value), outcome, runs);
    }
    say('tried', 60);
  },

  async two_on_different_paths_do_not_meet({ a, b, at }) {
    await set(at(a), { left: 0, right: 0 });
    const work = [];
    for (let i = 0; i < 20; i++) {
      work.push(runTransaction(at(a, 'left'), (n) => (n ?? 0) + 1), runTransaction(at(b, 'right'), (n) => (n ?? 0) + 1));
    }
    await Promise.all(work);
    await settled(a);
    say('value', (await get(at(a))).val());
  },

  // Each client queues them without waiting. What others write must not reach a client between its own write and the answer to
  // it: the SDK would send the next in its queue, computed on its own write, with the hash of theirs.
  async queued_from_two_sides_on_one_counter({ a, b, at }) {
    await set(at(a), 0);
    await keep(a, at);
    await keep(b, at);
    for (let round = 0; round < 10; round++) {
      const work = [];
      for (let i = 0; i < 10; i++) work.push(runTransaction(at(i % 2 ? a : b), (n) => (n ?? 0) + 1));
      await Promise.all(work);
    }
    await settled(a);
    say('value', (await get(at(a))).val());
  },

  async parent_and_child_together({ a, b, at }) {
    await set(at(a), { sum: 0, parts: { x: 0 } });
    await keep(a, at);
    await keep(b, at);
    const work = [];
    for (let i = 0; i < 10; i++) {
      work.push(runTransaction(at(a), (whole) => whole && { ...whole, sum: whole.sum + 1 }));
      work.push(runTransaction(at(b, 'parts/x'), (n) => (n ?? 0) + 1));
    }
    for (const outcome of await Promise.allSettled(work)) {
      if (outcome.status === 'rejected') say('rejected', outcome.reason.message);
    }
    await settled(a);
    say('value', (await get(at(a))).val());
  },
});
