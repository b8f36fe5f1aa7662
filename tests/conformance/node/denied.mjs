// `serve` without rules: everything is denied to everyone but the admin credential, and the SDK says so in its own words.
import {
  get, onDisconnect, onValue, push, ref, remove, runTransaction, set, setPriority, update,
} from 'firebase/database';
import { fault, finish, open, say, settings } from './lib.mjs';

const db = open('anyone', settings.credential ? { options: { mockUserToken: settings.credential } } : {});
const here = ref(db, 'place');
const attempts = {
  set: () => set(here, 1),
  update: () => update(here, { 'a/b': 1 }),
  push: () => push(here, 1),
  remove: () => remove(here),
  setPriority: () => setPriority(here, 1),
  get: () => get(here),
  onValue: () => new Promise((resolve, reject) => onValue(here, resolve, reject)),
  transaction: () => runTransaction(here, () => 1),
  onDisconnect: () => onDisconnect(here).set('x'),
};
for (const [name, attempt] of Object.entries(attempts)) {
  await Promise.resolve().then(attempt).then(() => say(name, 'granted'), (error) => say(name, 'refused', fault(error)));
}
await finish();
