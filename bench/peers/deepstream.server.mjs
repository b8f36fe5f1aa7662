/* deepstream: its WebSocket endpoint (with the package ws, see absent/), open permissions, records in memory, no logo, no telemetry,
 * no log: its level is said to the logger, since at the top a name is taken for none and each write is logged twice. */
import deepstream from '@deepstream/server';

const [port] = process.argv.slice(2);
const server = new deepstream.Deepstream({
  showLogo: false, logger: { type: 'default', options: { logLevel: 'ERROR' } }, telemetry: { type: 'deepstreamIO', options: { enabled: false } },
  httpServer: { type: 'default', options: { host: '127.0.0.1', port: Number(port), healthCheckPath: '/health-check', allowAllOrigins: true } },
  connectionEndpoints: [{ type: 'ws-binary', options: { urlPath: '/deepstream', heartbeatInterval: 30000, outgoingBufferTimeout: 0 } }],
  permission: { type: 'none', options: {} },
});
server.on('started', () => console.log(`READY ${port}`));
server.start();
process.stdin.on('end', () => process.exit(0)).resume();
