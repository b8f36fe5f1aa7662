// firebase-admin for Node reads and sets the rules of a database, told of the server by the emulator's variable.
import { deleteApp, initializeApp } from 'firebase-admin/app';
import { getDatabase } from 'firebase-admin/database';
import { say, settings } from './lib.mjs';

const credential = { getAccessToken: async () => ({ access_token: 'owner', expires_in: 3600 }) };
const app = initializeApp({ projectId: 'demo-meadowlark', databaseURL: `http://127.0.0.1:${settings.port}?ns=${settings.ns}`, credential }, 'rules');
const db = getDatabase(app);
await db.setRules('{"rules": {".read": true, /* why */ ".write": "auth != null"}}');
say('text', await db.getRules());
say('json', await db.getRulesJSON());
await db.setRules({ rules: { '.read': false } });
say('object', await db.getRulesJSON());
await db.setRules('{"rules": {".read": "nobody"}}').then(() => say('wrong', 'granted'), (error) => say('wrong', 'refused', error.message));
await deleteApp(app);
process.exit(0);
