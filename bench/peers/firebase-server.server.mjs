/* firebase-server: the realtime protocol over the old SDK's in-memory database, without rules. */
import firebaseServer from 'firebase-server';

const [port] = process.argv.slice(2);
const Server = firebaseServer.FirebaseServer ?? firebaseServer.default ?? firebaseServer;
const server = new Server(Number(port), '127.0.0.1', {});
await server;
console.log(`READY ${port}`);
process.stdin.on('end', () => process.exit(0)).resume();
