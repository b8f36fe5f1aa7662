// The documented presence pattern: one child a connection below users/NAME, removed and a time left behind when it ends.
import { onDisconnect, onValue, push, ref, remove, serverTimestamp, set } from 'firebase/database';
import { finish, open, say, settings, told } from './lib.mjs';

const db = open(settings.user);
const mine = ref(db, `users/${settings.user}/connections`);
const lastOnline = ref(db, `users/${settings.user}/lastOnline`);
onValue(ref(db, '.info/connected'), async (snapshot) => {
  if (snapshot.val() !== true) return;
  const connection = push(mine);
  await onDisconnect(connection).remove();
  await onDisconnect(lastOnline).set(serverTimestamp());
  await set(connection, true);
  say('present', connection.key);
});
for (let word = await told(); word !== 'end'; word = await told()) {
  if (word === 'forget') await remove(mine);
}
await finish();
