// What the server tells in datagrams: sequences, epochs, and bytes that mean nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heard } from '../dist/internals.js';

const bytes = (...parts) => Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...Buffer.from(part)] : [part])));

function client() {
  const told = [];
  const heard = new Heard((path, json) => told.push([path, json]));
  heard.agree(bytes(1, 1, 0, 'a/b'));
  heard.agree(bytes(1, 1, 0xac, 2, 'c'));
  return { heard, take: () => told.splice(0) };
}

test('several updates are one packet', () => {
  const { heard, take } = client();
  heard.receive(bytes(0, 0, 7, 13, '{"x":1,"y":2}', 0xac, 2, 1, 0));
  assert.deepEqual(take(), [['a/b', '{"x":1,"y":2}'], ['c', '']]);
});

test('what is late or doubled does not count, on the stream neither', () => {
  const { heard, take } = client();
  for (const sequence of [2, 1, 2]) heard.receive(bytes(0, 0, sequence, 1, String(sequence)));
  heard.agree(bytes(3, 0, 2, 1, '9', 0, 3, 1, '3'));
  assert.deepEqual(take(), [['a/b', '2'], ['a/b', '3']]);
});

test('an epoch keeps datagrams away', () => {
  const { heard, take } = client();
  heard.agree(bytes(2));
  heard.receive(bytes(0, 0, 1, 1, '1'));
  heard.receive(bytes(1, 0, 1, 1, '1'));
  assert.deepEqual(take(), []);
  heard.agree(bytes(2, 1));
  heard.receive(bytes(0, 0, 1, 1, '1'));
  heard.receive(bytes(1, 0, 1, 1, '2'));
  assert.deepEqual(take(), [['a/b', '2']]);
});

test('a forgotten number means nothing', () => {
  const { heard, take } = client();
  heard.agree(bytes(4));
  heard.receive(bytes(0, 0, 1, 1, '1'));
  assert.deepEqual(take(), []);
});

test('whatever the bytes, nothing is thrown', () => {
  let state = 7;
  const chance = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
  const { heard, take } = client();
  for (let round = 0; round < 20_000; round++) {
    const packet = Uint8Array.from({ length: chance(24) }, () => (chance(3) ? chance(6) : chance(256)));
    if (chance(2)) heard.receive(packet);
    else heard.agree(packet);
    for (const [path, json] of take()) assert.equal(typeof path + typeof json, 'stringstring');
  }
});
