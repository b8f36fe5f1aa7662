// Rules as an app feels them: a denied write rolls back what was shown, granted ones stay, and a listen that rules forbid is cancelled.
import {
  get, limitToLast, onDisconnect, onValue, orderByChild, query, ref, runTransaction, serverTimestamp, set, update,
} from 'firebase/database';
import { fault, finish, open, say, settings, told } from './lib.mjs';

console.warn = (...words) => say('warned', words.join(' '));

const user = { sub: 'anna', user_id: 'anna', level: 3 };
const db = open('anna', settings.how === 'url' ? {} : { options: { mockUserToken: user } });
const nobody = open('nobody');
const at = (path, who = db) => ref(who, path);

async function attempt(name, promise) {
  await promise.then((answer) => say(name, 'granted', answer?.val?.() ?? null), (error) => say(name, 'refused', fault(error)));
}

const last = (count, child = 'at') => query(at('feed'), orderByChild(child), limitToLast(count));
const listen = (place) => new Promise((resolve, reject) => onValue(place, resolve, reject));

onValue(at('notes/anna'), (snapshot) => say('note', snapshot.val()), (error) => say('cancelled', fault(error)));
await get(at('notes/anna'));
await attempt('write', set(at('notes/anna'), 'good'));
await attempt('too long', set(at('notes/anna'), 'much too long'));
await attempt('not mine', set(at('notes/bert'), 'x'));
await attempt('update', update(at('/'), { 'notes/anna': 'fine', 'notes/bert': 'x' }));
await attempt('level', set(at('levels/anna'), 3));
await attempt('wrong level', set(at('levels/anna'), 4));
await attempt('time', set(at('times/anna'), serverTimestamp()));
await attempt('made-up time', set(at('times/anna'), 5));
await attempt('counter', runTransaction(at('counter'), (n) => (n ?? 0) + 1));
await attempt('counter by two', runTransaction(at('counter'), (n) => (n ?? 0) + 2));
await attempt('queue', onDisconnect(at('notes/anna')).set('gone'));
await attempt('queue for bert', onDisconnect(at('notes/bert')).set('gone'));
await attempt('read', get(at('notes/bert')));
await attempt('nobody writes', set(at('notes/anna', nobody), 'x'));
await attempt('nobody listens', listen(at('notes/anna', nobody)));
await attempt('get the last', get(last(10)));
await attempt('get too many', get(last(11)));
await attempt('get by another child', get(last(2, 'by')));
await attempt('get all', get(at('feed')));
await attempt('listen to the last', listen(last(2)));
await attempt('listen to too many', listen(last(12)));
await attempt('listen by another child', listen(last(3, 'by')));
await attempt('listen to all', listen(at('feed')));
say('ready');
while (await told() !== 'end');
await finish();
