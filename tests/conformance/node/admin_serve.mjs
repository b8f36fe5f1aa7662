// firebase-admin for Node against `serve` over TLS: the credential object gives the server's admin credential as its access token.
import { deleteApp, initializeApp } from 'firebase-admin/app';
import { getDatabase } from 'firebase-admin/database';
import { fault, say, settings } from './lib.mjs';

const app = (label, token) => initializeApp({
  databaseURL: `https://localhost:${settings.port}?ns=${settings.ns}`,
  credential: { getAccessToken: async () => ({ access_token: token, expires_in: 3600 }) },
}, label);

const trusted = app('trusted', settings.credential);
const db = getDatabase(trusted);
db.ref('live').on('value', (snapshot) => say('value', snapshot.val()));
await db.ref('live').once('value');
await db.ref('live').set({ by: 'admin' });
await db.ref('live').update({ more: 1 });
const result = await db.ref('live/n').transaction((n) => (n ?? 0) + 1);
say('transaction', result.committed, result.snapshot.val());
await deleteApp(trusted);

if (settings.wrong) {
  const stranger = app('stranger', settings.wrong);
  const attempt = getDatabase(stranger).ref('live').set('stolen').then(() => say('stranger', 'granted'), (error) => say('stranger', 'refused', fault(error)));
  await Promise.race([attempt, new Promise((resolve) => setTimeout(() => { say('stranger', 'waits'); resolve(); }, 4000))]);
  await deleteApp(stranger);
}
process.exit(0);
