/* deepstream through its own client: a seat is a record, since two writers of one record conflict by version. A client sees its own
 * change at once, without the server, so its own writes are not counted as deliveries. */
import { DeepstreamClient } from '@deepstream/client';

export async function connect({ host, port, room, seat, seats, heard }) {
  const client = new DeepstreamClient(`ws://${host}:${port}/deepstream`);
  client.on('error', () => {});
  await client.login();
  const records = Array.from({ length: seats }, (_, other) => client.record.getRecord(`${room}/c${other}`));
  await Promise.all(records.map((record) => record.whenReady()));
  records.forEach((record, other) => other === seat || record.subscribe('v', (v) => heard(v ?? '')));
  return { echoes: false, write: (v) => records[seat].setWithAck('v', v) };
}
