/* Socket.IO: rooms, WebSocket only, no compression (its default), no recovery of state. */
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const [port] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { transports: ['websocket'], serveClient: false, perMessageDeflate: false });
io.on('connection', (socket) => {
  let room;
  socket.on('join', async (name, answer) => {
    room = name;
    await socket.join(name);
    answer();
  });
  socket.on('write', (value, answer) => {
    io.to(room).emit('change', value);
    answer();
  });
});
http.listen(Number(port), '127.0.0.1', () => console.log(`READY ${port}`));
process.stdin.on('end', () => process.exit(0)).resume();
