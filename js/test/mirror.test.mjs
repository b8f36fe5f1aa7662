// What listeners are told while the server says things in an order of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVERYTHING, Core, Listener, Query, toExport } from '../dist/internals.js';

const HELLO = { ts: 0, s: 'session' };
const FIRST = new Query({ i: '.key', l: 1, vf: 'l' });

function client() {
  const core = new Core(() => 0);
  core.opened(HELLO, null, () => {});
  const told = [];
  const hear = (path, query = EVERYTHING) => {
    const name = `${path}${query.filters ? ' first' : ''}`;
    const listener = new Listener(new Set(['value']), ({ node }) => told.push([name, JSON.parse(JSON.stringify(toExport(node)))]), () => {});
    const view = core.listen(path.split('/'), query, listener);
    return { tag: view.tag, stop: () => core.unlisten(view, listener) };
  };
  const push = (p, d, t) => core.said({ a: 'd', b: { p, d, t } });
  return { core, hear, push, take: () => told.splice(0) };
}

test('what is said of a part does not make the whole known', () => {
  const { hear, push, take } = client();
  hear('a/b');
  push('a/b', 1);
  hear('a');
  take();
  push('a/b', 2);
  assert.deepEqual(take(), [['a/b', 2]]);
  push('a', { b: 2, c: 3 });
  assert.deepEqual(take(), [['a', { b: 2, c: 3 }]]);
});

test('a window of what is known whole is there at once, and stays when the whole is not heard any more', () => {
  const { core, hear, push, take } = client();
  const whole = hear('a');
  push('a', { x: 1, y: 2 });
  take();
  const { tag } = hear('a', FIRST);
  assert.deepEqual(take(), [['a first', { x: 1 }]]);
  push('a', { x: 1 }, tag);
  core.set(['a', 'x'], null, () => {});
  assert.deepEqual(take(), [['a', { y: 2 }], ['a first', { y: 2 }]]);
  push('a/x', null);
  push('a/y', 3);
  push('a', { y: 3 }, tag);
  assert.deepEqual(take(), [['a', { y: 3 }], ['a first', { y: 3 }]]);
  whole.stop();
  push('a', { y: 4 }, tag);
  assert.deepEqual(take(), [['a first', { y: 4 }]]);
});

test('what an increment gives is guessed once', () => {
  const { core, hear, push, take } = client();
  hear('n');
  push('n', 1);
  core.set(['n'], { '.sv': { increment: 2 } }, () => {});
  push('n', 3);
  core.said({ r: 2, b: { s: 'ok', d: '' } });
  assert.deepEqual(take(), [['n', 1], ['n', 3]]);
});

test('what was left to the server is done here when the connection ends, except what was taken back', () => {
  const { core, hear, push, take } = client();
  hear('a');
  push('a', { b: 1, c: 1, d: 1 });
  const answer = (() => { let number = 1; return () => core.said({ r: ++number, b: { s: 'ok', d: '' } }); })();
  core.onDisconnect('o', ['a'], { b: 2, c: 2, d: 2 }, () => {});
  answer();
  core.onDisconnect('oc', ['a', 'c'], null, () => {});
  answer();
  core.onDisconnect('om', ['a'], { b: null, e: 5 }, () => {});
  answer();
  core.onDisconnect('o', ['a', 'never'], 1, () => {});
  take();
  core.lost();
  assert.deepEqual(take().at(-1), ['a', { c: 1, d: 2, e: 5 }]);
  core.opened(HELLO, null, () => {});
  core.lost();
  assert.deepEqual(take(), []);
});

test('a write that is answered before a listen stays visible until that is answered, and one that is refused does not', () => {
  const { core, hear, push, take } = client();
  const answer = (r, s = 'ok') => core.said({ r, b: { s, d: '' } });
  hear('a');
  push('a', { x: 1 });
  answer(1);
  core.lost();
  core.opened(HELLO, null, () => {});
  take();
  core.set(['a', 'y'], 2, () => {});
  core.set(['a', 'z'], 3, () => {});
  answer(3);
  answer(4, 'permission_denied');
  assert.deepEqual(take(), [['a', { x: 1, y: 2 }], ['a', { x: 1, y: 2, z: 3 }], ['a', { x: 1, y: 2 }]]);
  push('a', { x: 1, y: 2 });
  answer(2);
  push('a/y', 4);
  assert.deepEqual(take(), [['a', { x: 1, y: 4 }]]);
});

test('what was said to a listen that is over is not taken for what is said to one begun since', () => {
  const { core, hear, push, take } = client();
  const answer = (r) => core.said({ r, b: { s: 'ok', d: '' } });
  const whole = hear('a');
  push('a', { b: 1 });
  answer(1);
  whole.stop();
  hear('a/b');
  take();
  push('a/b', 2);
  answer(2);
  answer(3);
  assert.deepEqual(take().at(-1), ['a/b', null], 'there was nothing any more, so nothing was said');
});
