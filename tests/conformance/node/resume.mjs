// A client whose connection breaks: it listens at several places, and is told by the test when to write.
import { increment, onChildAdded, onChildChanged, onValue, ref, runTransaction, set } from 'firebase/database';
import { finish, open, say, seen, settled, settings, told } from './lib.mjs';

const db = open('resumer');
for (const path of settings.listen ?? []) onValue(ref(db, path), (snapshot) => say('value', path, settings.quiet ? null : snapshot.val()));
for (const path of settings.children ?? []) {
  onChildAdded(ref(db, path), (snapshot) => say('added', path, snapshot.key));
  onChildChanged(ref(db, path), (snapshot) => say('changed', path, snapshot.key, snapshot.val()));
}
await settled(db);
say('ready');
onValue(ref(db, '.info/connected'), (snapshot) => say('connected', snapshot.val()));

for (;;) {
  const [word, ...rest] = (await told()).split(' ');
  if (word === 'set') {
    const [path, value] = rest;
    await set(ref(db, path), JSON.parse(value));
    say('acknowledged', path);
  } else if (word === 'many') {
    // Without waiting: the connection may break between any two of them.
    const count = Number(rest[0]);
    const writes = Array.from({ length: count }, (_, index) => set(ref(db, `many/k${index}`), index));
    Promise.all(writes).then(() => say('many acknowledged'), (error) => say('failed', String(error)));
    say('many sent');
  } else if (word === 'transaction') {
    runTransaction(ref(db, 'counter'), (n) => (n ?? 0) + 1).then(
      (result) => say('transaction', result.committed, result.snapshot.val()), (error) => say('transaction', error.message));
    say('transaction sent');
  } else if (word === 'increment') {
    await set(ref(db, 'counter'), increment(1));
    say('acknowledged', 'counter');
  } else if (word === 'wait') {
    const [path, value] = rest;
    await seen(db, path, (now) => JSON.stringify(now) === value, 20);
    say('arrived', path);
  } else if (word === 'settle') {
    await settled(db);
    say('settled');
  } else {
    await finish();
  }
}
