// Cursors under a rule that makes them volatile, with plain `set` of the SDK, or with `setVolatile` where the client has it.
import * as sdk from 'firebase/database';
import { finish, open, say, told } from './lib.mjs';

const writer = open('writer');
const reader = open('reader');
const place = (db) => sdk.ref(db, 'cursors/ann');
sdk.onValue(place(reader), (snapshot) => say('sees', snapshot.val()));
await sdk.set(sdk.ref(writer, 'ready'), true);
await sdk.set(place(writer), { x: 1 });
say('promise');
if (sdk.setVolatile) say('sent', sdk.setVolatile(place(writer), { x: 2 }));
else await sdk.set(place(writer), { x: 2 });
await told();
sdk.goOffline(writer);
await told();
await finish();
