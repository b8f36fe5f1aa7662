// One client that hears of everything at and below a place, until a child `end` is there.
import { onChildAdded, onChildChanged, onChildMoved, onChildRemoved, onValue, ref } from 'firebase/database';
import { finish, open, say, settled } from './lib.mjs';

const db = open('ears');
const place = ref(db, 'cursors');
let end;
const over = new Promise((resolve) => { end = resolve; });
onChildAdded(place, (snapshot, before) => say('child_added', snapshot.key, before, snapshot.exportVal()));
onChildChanged(place, (snapshot, before) => say('child_changed', snapshot.key, before, snapshot.exportVal()));
onChildMoved(place, (snapshot, before) => say('child_moved', snapshot.key, before, snapshot.exportVal()));
onChildRemoved(place, (snapshot) => say('child_removed', snapshot.key, null, snapshot.exportVal()));
onValue(place, (snapshot) => {
  say('value', snapshot.exportVal());
  if (snapshot.child('end').exists()) end();
});
await settled(db);
say('listens');
await over;
await finish();
