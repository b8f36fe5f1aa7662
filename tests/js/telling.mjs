// One client of ours that does what it is told, a line of JSON each, and says what it hears: whether it is connected, and what is at a place.
import { onValue, ref, set, setVolatile, setVolatileRate } from 'firebase/database';
import { finish, open, say, settings, told } from '../conformance/node/lib.mjs';

const database = open('client');
const at = (path) => ref(database, path);
const actions = {
  set: (path, value) => set(at(path), value).then(() => say('done', path)),
  volatile: (path, value) => say('sent', setVolatile(at(path), value)),
  rate: (perSecond) => setVolatileRate(database, perSecond),
};
onValue(at('.info/connected'), (snapshot) => say('connected', snapshot.val()));
onValue(at(settings.place), (snapshot) => say('sees', snapshot.val()));
for (;;) {
  const [action, ...given] = JSON.parse(await told());
  if (action === 'end') break;
  actions[action](...given);
}
await finish();
