/* Hocuspocus: a Y.Doc for each room, in memory, without extensions. */
import { Server } from '@hocuspocus/server';

const [port] = process.argv.slice(2);
const server = new Server({ port: Number(port), address: '127.0.0.1', quiet: true, stopOnSignals: false });
await server.listen();
console.log(`READY ${port}`);
process.stdin.on('end', () => process.exit(0)).resume();
