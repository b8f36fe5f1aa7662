/* PocketBase by its REST and its SSE: a seat is a record, a client subscribes to the records of its room by id, which needs no
 * query at each change. `prepare` makes the collection and its records. */
import { Agent, request as httpRequest } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });
let records;

function call({ host, port }, method, path, body, token) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...(token ? { authorization: token } : {}) };
    const request = httpRequest({ host, port, method, path, agent, headers }, (answer) => {
      let content = '';
      answer.setEncoding('utf8').on('data', (piece) => (content += piece)).on('end', () => {
        if (answer.statusCode < 300) resolve(content ? JSON.parse(content) : null);
        else reject(new Error(`${method} ${path} was answered ${answer.statusCode}: ${content.slice(0, 200)}`));
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}

export async function prepare({ host, port, credential, rooms, seats }) {
  const server = { host, port };
  const [identity, password] = credential.split(':');
  const { token } = await call(server, 'POST', '/api/collections/_superusers/auth-with-password', { identity, password });
  const found = await call(server, 'GET', '/api/collections/seats', undefined, token).catch(() => null);
  if (!found) {
    await call(server, 'POST', '/api/collections', {
      name: 'seats', type: 'base', listRule: '', viewRule: '', createRule: '', updateRule: '', fields: [{ name: 'v', type: 'text', max: 100000 }],
    }, token);
  }
  const list = await call(server, 'GET', '/api/collections/seats/records?perPage=1000&sort=id&skipTotal=1', undefined, token);
  records = list.items.map((item) => item.id);
  while (records.length < rooms * seats) records.push((await call(server, 'POST', '/api/collections/seats/records', { v: '' }, token)).id);
}

export function connect({ host, port, roomIndex, seat, seats, heard }) {
  const server = { host, port };
  const ids = records.slice(roomIndex * seats, (roomIndex + 1) * seats);
  return new Promise((resolve, reject) => {
    const listen = async ({ clientId }) => {
      await call(server, 'POST', '/api/realtime', { clientId, subscriptions: ids.map((id) => `seats/${id}`) });
      resolve({ echoes: true, write: (v) => call(server, 'PATCH', `/api/collections/seats/records/${ids[seat]}`, { v }) });
    };
    const stream = httpRequest({ host, port, path: '/api/realtime', agent: false, headers: { accept: 'text/event-stream' } }, (answer) => {
      let rest = '';
      answer.setEncoding('utf8').on('data', (piece) => {
        const events = (rest + piece).split('\n\n');
        rest = events.pop();
        for (const event of events) {
          const content = JSON.parse(/^data:(.*)$/m.exec(event)[1]);
          if (content.clientId) listen(content).catch(reject);
          else heard(content.record.v);
        }
      });
    });
    stream.on('error', reject);
    stream.end();
  });
}
