// Signing in and out while listening. In the place of firebase/auth stands what the database SDK wants of it (the component
// `auth-internal`), with tokens that the test gives: a line is {"sign": TOKEN or null, "next": TOKEN or null}, where `next` is
// what a forced refresh brings, or {"listen": PATH}, {"watch": PATH}, {"settle": true}, {"end": true}.
import { Component } from '@firebase/component';
import { _registerComponent } from 'firebase/app';
import { onValue, ref } from 'firebase/database';
import { fault, finish, open, say, settled, told } from './lib.mjs';

let token = null;
let next = null;
const listeners = new Set();
const auth = {
  getToken: async (forced) => {
    if (forced) {
      token = next;
      say('refreshed', token !== null);
    }
    return token === null ? null : { accessToken: token };
  },
  getUid: () => null,
  addAuthTokenListener: (listener) => listeners.add(listener),
  removeAuthTokenListener: (listener) => listeners.delete(listener),
};
_registerComponent(new Component('auth-internal', () => auth, 'PRIVATE'));

const db = open('somebody');
for (;;) {
  const line = JSON.parse(await told());
  if ('sign' in line) {
    ({ sign: token, next = null } = line);
    for (const listener of listeners) listener(token);
  } else if ('listen' in line) {
    const path = line.listen;
    onValue(ref(db, path), (snapshot) => say('value', path, snapshot.val()), (error) => say('cancelled', path, fault(error)));
  } else if ('settle' in line) {
    await settled(db);
    say('settled');
  } else {
    await finish();
  }
}
