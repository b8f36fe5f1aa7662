// Servers in memory and a clock that only tests move.
import { mock } from 'node:test';

/** Sockets to a server that does what `server` says: greets, pongs, answers; each of these may be changed while it goes on. */
export function network(server = {}) {
  const state = { greets: true, pongs: true, answers: true, ...server };
  const sockets = [];
  class Fake {
    bufferedAmount = 0;
    asked = 0;
    isClosed = false;
    requests = [];
    constructor(url) {
      this.url = url;
      this.madeAt = Date.now();
      sockets.push(this);
      if (state.greets) setTimeout(() => this.say({ t: 'c', d: { t: 'h', d: { ts: Date.now() + 7, v: '5', h: 'localhost:1', s: `s${sockets.length}` } } }));
      if (state.refuses) setTimeout(() => this.onclose?.());
    }
    say(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
    answer(r, s = 'ok', d = '') {
      this.say({ t: 'd', d: { r, b: { s, d } } });
    }
    send(text) {
      const { t, d } = JSON.parse(text);
      if (t === 'c') {
        this.asked += 1;
        this.askedAt = Date.now();
        if (state.pongs) setTimeout(() => this.say({ t: 'c', d: { t: 'o', d: null } }));
      } else {
        this.requests.push(d);
        const payload = d.a === 'g' ? 'read' : '';
        if (state.answers && d.r !== undefined) setTimeout(() => this.answer(d.r, 'ok', payload));
      }
    }
    close() {
      this.isClosed = true;
      this.closedAt = Date.now();
    }
  }
  return { Fake, sockets, state };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Takes over the clock for one test. */
export function clock(test) {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 });
  test.after(() => mock.timers.reset());
  return {
    /** Time passes, and all that is due happens in its order. */
    async pass(ms, stepMs = 10) {
      for (const end = Date.now() + ms; Date.now() < end; ) {
        mock.timers.tick(Math.min(stepMs, end - Date.now()));
        await turn();
      }
      await turn();
    },
    /** As when the machine sleeps: everything that was due happens late, at once. */
    async sleep(ms) {
      mock.timers.setTime(Date.now() + ms);
      await turn();
    },
  };
}
