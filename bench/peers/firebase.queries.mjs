/* Queries through the Firebase SDK: the same client for Meadowlark and for firebase-server. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url); /* Version 7 has no entry for import. */
const firebase = require('firebase/app');
require('firebase/database');

export const fillAtOnce = 200; /* So that a message is one frame: firebase-server reads no longer ones. */

export async function connect({ host, port, limit, index }) {
  const app = firebase.initializeApp({ databaseURL: `http://${host}:${port}?ns=bench` }, `app${index}`);
  const place = app.database().ref('posts');
  const window = (low) => place.orderByChild('n').startAt(low).limitToFirst(limit);
  return {
    fill: (children) => place.update(children),
    listen: (low, heard) => new Promise((done, failed) => {
      const query = window(low);
      query.on('child_changed', (snapshot) => heard(snapshot.key));
      query.once('value').then(() => done(), failed);
    }),
    set: (key, field, value) => place.child(key).child(field).set(value),
    get: (low) => window(low + 0.5).once('value'), /* A window that nobody has open: version 7 has no `get`. */
  };
}
