// A client that prepares for its own end: every onDisconnect operation, then it goes the way it is told.
import {
  get, goOffline, goOnline, increment, onDisconnect, ref, serverTimestamp, set, setWithPriority, update,
} from 'firebase/database';
import { close, finish, open, say, seen, settled, told } from './lib.mjs';

const db = open('leaver');
const at = (path) => ref(db, path);
await set(at('/'), {
  status: 'online', removed: { deep: true }, kept: 'cancelled set', count: 10, profile: { name: 'n', mood: 'm', seen: 0 },
  tree: { a: 1, b: 2, c: 3 }, replaced: 'first', ranked: 'x',
});
await onDisconnect(at('status')).set('offline');
await onDisconnect(at('ranked')).setWithPriority('gone', 9);
await onDisconnect(at('removed')).remove();
await onDisconnect(at('profile')).update({ mood: null, seen: serverTimestamp(), 'more/deep': [1, 2] });
await onDisconnect(at('kept')).set('must not be written');
await onDisconnect(at('kept')).cancel();
await onDisconnect(at('count')).set(increment(5));
await onDisconnect(at('tree')).set({ a: 'A', b: 'B', c: 'C' });
await onDisconnect(at('tree/b')).cancel();
await onDisconnect(at('replaced/by/child')).set('forgotten');
await onDisconnect(at('replaced')).set('second');
say('registered', (await get(at('/'))).val());

for (;;) {
  const word = await told();
  if (word === 'app.delete') {
    await close(db);
    say('closed');
  } else if (word === 'goOffline') {
    goOffline(db);
    say('offline');
  } else if (word === 'goOnline') {
    goOnline(db);
    await seen(db, '.info/connected', (value) => value === true);
    await update(at('/'), { status: 'online again', count: 100 });
    say('online');
  } else if (word === 'settle') {
    await settled(db);
    say('settled');
  } else if (word === 'setWithPriority') {
    await setWithPriority(at('status'), 'busy', 1);
    say('set');
  } else {
    await finish();
  }
}
