/* Meadowlark through the Node driver: what the driver itself costs, seen beside the same load from load.c. */
import WebSocket from 'ws';

export function connect({ host, port, credential, room, seat, heard }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${host}:${port}/.ws?v=5&ns=bench`, { perMessageDeflate: false });
    const waiting = new Map();
    let next = 1;
    const request = (action, body) => new Promise((answered, refused) => {
      waiting.set(next, [answered, refused]);
      socket.send(JSON.stringify({ t: 'd', d: { r: next++, a: action, b: body } }));
    });
    const begin = async () => {
      if (credential) await request('gauth', { cred: credential });
      await request('q', { p: `/rooms/${room}`, h: '' });
      resolve({ echoes: true, write: (v) => request('p', { p: `/rooms/${room}/c${seat}`, d: { v } }) });
    };
    socket.on('error', reject);
    socket.on('message', (bytes) => {
      const message = JSON.parse(bytes);
      if (message.t === 'c') return message.d.t === 'h' ? begin().catch(reject) : undefined;
      const { r, a, b } = message.d;
      if (a === 'd' && b.d?.v) heard(b.d.v);
      if (r === undefined) return;
      const [answered, refused] = waiting.get(r);
      waiting.delete(r);
      if (b.s === 'ok') answered();
      else refused(new Error(`${b.s}: ${b.d}`));
    });
  });
}
