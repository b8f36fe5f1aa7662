/* Hocuspocus through its own provider: a room is a document, a seat a key of its map. A client sees its own change at once,
 * without the server, so its own writes are not counted as deliveries. The protocol acknowledges no single update. */
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import WebSocket from 'ws';
import * as Y from 'yjs';

export const silent = true;

export async function connect({ host, port, room, seat, heard }) {
  const websocketProvider = new HocuspocusProviderWebsocket({ url: `ws://${host}:${port}`, WebSocketPolyfill: WebSocket });
  const document = new Y.Doc();
  const seats = document.getMap('seats');
  const provider = new HocuspocusProvider({ websocketProvider, name: room, document });
  provider.attach();
  await new Promise((done) => provider.on('synced', done));
  seats.observe((event) => {
    if (!event.transaction.local) for (const key of event.keysChanged) heard(seats.get(key) ?? '');
  });
  return { echoes: false, write: (v) => void seats.set(`c${seat}`, v) };
}
