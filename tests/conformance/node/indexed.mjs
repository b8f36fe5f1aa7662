// A query whose index the rules declare: no warning, and reading once works.
import { get, limitToLast, onValue, orderByChild, query, ref, set } from 'firebase/database';
import { finish, open, say, settled } from './lib.mjs';

console.warn = (...words) => say('warned', words.join(' '));
const db = open('indexed');
await set(ref(db, 'people'), { ada: { n: 1 }, bob: { n: 2 }, cy: { n: 3 } });
const asked = query(ref(db, 'people'), orderByChild('n'), limitToLast(2));
say('get', (await get(asked)).val());
onValue(asked, (snapshot) => say('value', snapshot.val()));
await settled(db);
await finish();
