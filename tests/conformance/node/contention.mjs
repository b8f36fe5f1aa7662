// Many clients add one to one counter at the same time. A transaction that was beaten 25 times ends with "maxretry", as
// documented; then a program tries again, and so do we, counting.
import { get, ref, runTransaction } from 'firebase/database';
import { finish, open, say, settings, told } from './lib.mjs';

const { clients, each, first } = settings;
const databases = Array.from({ length: clients }, (_, index) => open(`c${first + index}`));
await Promise.all(databases.map((db) => get(ref(db, 'unrelated'))));
say('ready');
await told();

let committed = 0;
let beaten = 0;
await Promise.all(databases.map(async (db) => {
  for (let done = 0; done < each;) {
    try {
      const result = await runTransaction(ref(db, 'counter'), (current) => (current ?? 0) + 1);
      if (!result.committed) throw new Error('not committed');
      done++;
      committed++;
    } catch (error) {
      if (error.message !== 'maxretry') throw error;
      beaten++;
    }
  }
}));
say('done', committed, beaten);
await finish();
