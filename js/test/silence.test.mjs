// A server that says nothing is asked, and given up when it does not answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, getDatabase, onValue, ref } from '../dist/index.js';

/** Sockets to a server that greets, and then answers what it is asked in the way it is told. */
function network(answers) {
  const sockets = [];
  class Fake {
    bufferedAmount = 0;
    asked = 0;
    isClosed = false;
    constructor() {
      sockets.push(this);
      setTimeout(() => this.say({ t: 'c', d: { t: 'h', d: { ts: 1, v: '5', h: 'localhost:1', s: `s${sockets.length}` } } }));
    }
    say(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
    send(text) {
      if (text.includes('"t":"p"')) {
        this.asked += 1;
        if (answers) setTimeout(() => this.say({ t: 'c', d: { t: 'o', d: null } }));
      }
    }
    close() {
      this.isClosed = true;
    }
  }
  const until = async (ready) => {
    while (!ready()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return { Fake, sockets, until };
}

test('one that stays silent is dead, and another connection is made', { timeout: 30_000 }, async () => {
  const { Fake, sockets, until } = network(false);
  const database = getDatabase('http://localhost:1?ns=a', { WebSocket: Fake, silenceMs: 80 });
  onValue(ref(database, 'a'), () => {});
  await until(() => sockets.length > 1);
  assert.equal(sockets[0].asked, 1);
  assert.ok(sockets[0].isClosed);
  close(database);
});

test('one that answers is kept', { timeout: 30_000 }, async () => {
  const { Fake, sockets, until } = network(true);
  const database = getDatabase('http://localhost:1?ns=a', { WebSocket: Fake, silenceMs: 80 });
  onValue(ref(database, 'a'), () => {});
  await until(() => sockets[0]?.asked >= 3);
  assert.equal(sockets.length, 1);
  close(database);
});
