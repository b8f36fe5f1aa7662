// .info: what the SDK knows of its own connection.
import { goOffline, goOnline, onValue, ref } from 'firebase/database';
import { finish, open, pause, say, seen, settings } from './lib.mjs';

const db = open('a');
onValue(ref(db, '.info/connected'), (snapshot) => say('connected', snapshot.val()));
await seen(db, '.info/connected', (value) => value === true);
say('offset', await seen(db, '.info/serverTimeOffset', (value) => value !== null));
goOffline(db);
await seen(db, '.info/connected', (value) => value === false);
await pause(50);
goOnline(db);
await seen(db, '.info/connected', (value) => value === true);
say('host', db._repoInternal.repoInfo_.internalHost, settings.port);
await finish();
