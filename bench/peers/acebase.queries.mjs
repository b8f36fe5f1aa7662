/* Queries through acebase-client, with an index on what they order by. */
import acebase from 'acebase-client';

export async function connect({ host, port, limit, index }) {
  const client = new acebase.AceBaseClient({ host, port, dbname: 'bench', https: false, logLevel: 'error', sync: { timing: 'connect', useCursor: false } });
  await client.ready();
  const place = client.ref('posts');
  const window = (low) => place.query().filter('n', '>=', low).sort('n').take(limit);
  if (index === 0) await client.indexes.create('posts', 'n');
  return {
    fill: (children) => place.update(children),
    listen: async (low, heard) => {
      const query = window(low);
      query.on('change', (event) => heard(event.ref.key));
      await query.get();
    },
    set: (key, field, value) => place.child(key).child(field).set(value),
    get: (low) => window(low).get(),
  };
}
