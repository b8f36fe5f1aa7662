// An observer and a worker beside other clients: the observer says all events of the listens in `settings.listens`, {name: {path, query}}
// with the query's steps as [method, …arguments]; the worker does what it is told, one line of JSON each, until it is told to end.
import * as api from 'firebase/database';
import { finish, open, say, settled, settings, told } from './lib.mjs';

const observer = open('observer');
const worker = open('worker');

for (const [name, { path, query }] of Object.entries(settings.listens)) {
  const place = api.query(api.ref(observer, path), ...query.map(([method, ...rest]) => api[method](...rest)));
  const hear = (kind) => (snapshot, before) => say('event', name, kind, snapshot.key, before ?? null, snapshot.exportVal(), snapshot.val());
  api.onChildAdded(place, hear('child_added'));
  api.onChildRemoved(place, (snapshot) => hear('child_removed')(snapshot, null));
  api.onChildMoved(place, hear('child_moved'));
  api.onChildChanged(place, hear('child_changed'));
  api.onValue(place, hear('value'));
}

const at = (path) => api.ref(worker, path);
const work = {
  set: (path, value) => api.set(at(path), value),
  update: (path, children) => api.update(at(path), children),
  remove: (path) => api.remove(at(path)),
  count: async (path, times) => {
    await Promise.all(Array.from({ length: times }, () => api.runTransaction(at(path), (value) => (value ?? 0) + 1)));
  },
  atTheEnd: async (path, value, children) => {
    await api.onDisconnect(at(path)).set(value);
    await api.onDisconnect(at(path)).update(children);
  },
  leave: async () => api.goOffline(worker),
  settle: () => settled(observer),
};

await settled(observer);
say('listens');
for (;;) {
  const [what, ...rest] = JSON.parse(await told());
  if (what === 'end') break;
  await work[what](...rest);
  say('done');
}
await finish();
