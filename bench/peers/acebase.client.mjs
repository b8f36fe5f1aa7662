/* AceBase through acebase-client: `mutated` is the event that carries only what changed below a path. */
import acebase from 'acebase-client';

const KEPT = 50;

export async function connect({ host, port, room, seat, workload, heard }) {
  const client = new acebase.AceBaseClient({ host, port, dbname: 'bench', https: false, logLevel: 'error', sync: { timing: 'connect', useCursor: false } });
  await client.ready();
  if (workload === 'chat') {
    const place = client.ref(`rooms/${room}`);
    const query = place.query().sort('at', false).take(KEPT);
    query.on('add', (event) => void event.ref.get().then((snapshot) => heard(snapshot.val()?.v ?? '')));
    await query.get();
    return { echoes: true, write: (v) => place.push({ v, at: Date.now() }) };
  }
  await client.ref(`rooms/${room}`).on('mutated', (snapshot) => {
    const value = snapshot.val();
    heard(typeof value === 'string' ? value : (value?.v ?? ''));
  }, true);
  const target = client.ref(`rooms/${room}/c${seat}`);
  await target.set({ v: 'empty' });
  return { echoes: true, write: (v) => target.set({ v }) };
}
