// A whole small program as it is written for Firebase: a shop's counter with people present, tickets drawn by transactions, the three
// oldest open orders, and times made by the server. The tests run it with the SDK, and with ours by changing what the imports mean.
import { deleteApp, getApp, getApps, initializeApp } from 'firebase/app';
import {
  child, equalTo, get, getDatabase, increment, limitToFirst, onChildAdded, onChildRemoved, onDisconnect, onValue, orderByChild, orderByValue, push, query,
  ref, remove, runTransaction, serverTimestamp, set, startAt, update,
} from 'firebase/database';
import { say, settings, told } from './lib.mjs';

const { host, port, ns, user } = settings;
if (!getApps().length) initializeApp({ projectId: 'demo-shop', databaseURL: `http://${host}:${port}?ns=${ns}` });
const db = getDatabase();
const shop = ref(db, 'shop');

// Who is here, with the time since when.
const mine = child(shop, `people/${user}`);
onValue(ref(db, '.info/connected'), async (snapshot) => {
  if (!snapshot.val()) return;
  await onDisconnect(mine).remove();
  await onDisconnect(child(shop, 'left')).update({ [user]: serverTimestamp(), count: increment(1) });
  await set(mine, { since: serverTimestamp() });
  say('here');
});
onChildAdded(child(shop, 'people'), (snapshot) => say('came', snapshot.key, typeof snapshot.val().since));
onChildRemoved(child(shop, 'people'), (snapshot) => say('went', snapshot.key));

// The three oldest orders that are open: what is on the screen.
onValue(query(child(shop, 'orders'), orderByChild('open'), equalTo(true), limitToFirst(3)), (snapshot) => {
  const shown = [];
  snapshot.forEach((order) => { shown.push([order.child('ticket').val(), order.child('by').val(), order.child('what').val()]); });
  say('screen', shown);
});

const WORDS = {
  async order(what) {
    const { committed, snapshot } = await runTransaction(child(shop, 'ticket'), (last) => (last ?? 0) + 1);
    await push(child(shop, 'orders'), { open: true, by: user, what, ticket: snapshot.val(), at: serverTimestamp() });
    await update(shop, { [`sold/${what}`]: increment(1) });
    say('ordered', committed, snapshot.val());
  },
  async serve() {
    const first = await get(query(child(shop, 'orders'), orderByChild('open'), equalTo(true), limitToFirst(1)));
    const [key, order] = Object.entries(first.val())[0];
    // Two who serve at once serve it once.
    const { committed } = await runTransaction(child(shop, `orders/${key}`), (now) => (now && now.open ? { ...now, open: false, served: user } : undefined));
    say('served', committed, order.ticket, Math.abs(order.at - Date.now()) < 60_000);
  },
  async best() {
    const best = await get(query(child(shop, 'sold'), orderByValue(), startAt(2)));
    say('best', best.val());
  },
  async close() {
    await remove(child(shop, 'orders'));
    say('closed', (await get(shop)).child('orders').exists());
  },
};

for (let line = await told(); line !== 'end'; line = await told()) {
  const [word, ...given] = line.split(' ');
  await WORDS[word](...given);
}
await deleteApp(getApp());
process.exit(0);
