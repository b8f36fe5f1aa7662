/* AceBase: its own binary storage on disk (the default; not synced), nobody has to sign in, nothing logged. */
import acebase from 'acebase-server';

const [port, folder] = process.argv.slice(2);
const server = new acebase.AceBaseServer('bench', {
  host: '127.0.0.1', port: Number(port), path: folder, logLevel: 'error', authentication: { enabled: false }, allowOrigin: '*',
});
await server.ready();
console.log(`READY ${port}`);
process.stdin.on('end', () => process.exit(0)).resume();
