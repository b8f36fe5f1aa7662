/* The Firebase SDK, for Meadowlark and firebase-server alike. A client sees its own change at once, without the server, so its own writes
 * are not counted as deliveries. In a chat it listens to the last fifty messages and adds one at each write. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url); /* Version 7 has no entry for import. */
const firebase = require('firebase/app');
require('firebase/database');
const KEPT = 50;
let opened = 0;

export async function connect({ host, port, room, seat, workload, heard }) {
  const app = firebase.initializeApp({ databaseURL: `http://${host}:${port}?ns=bench` }, `app${opened++}`);
  const place = app.database().ref(`rooms/${room}`);
  const chat = workload === 'chat';
  const query = chat ? place.orderByKey().limitToLast(KEPT) : place;
  const own = new Set();
  const tell = (snapshot) => {
    if (chat ? !own.delete(snapshot.key) : snapshot.key !== `c${seat}`) heard(snapshot.val().v);
  };
  query.on('child_added', tell);
  if (!chat) query.on('child_changed', tell);
  await query.once('value');
  return {
    echoes: false,
    write: (v) => {
      const target = chat ? place.push() : place.child(`c${seat}`);
      own.add(target.key);
      return target.set({ v });
    },
  };
}
