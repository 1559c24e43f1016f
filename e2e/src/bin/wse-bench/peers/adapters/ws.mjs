// The npm package ws on Node.js.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { WebSocketServer } from 'ws';

const READY = JSON.stringify({ c: 'WSE', t: 'server_ready', p: {}, v: 1 });

const server = createServer(async (request, response) => {
  const { publications } = await json(request);
  for (const { message } of publications) {
    const text = JSON.stringify(message);
    for (const client of sockets.clients) client.send(text);
  }
  response.end('{}');
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 1 << 20 });

sockets.on('connection', (socket) => {
  socket.send(READY);
  socket.on('error', () => {});
  socket.on('message', (data) => {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      socket.close(1007);
      return;
    }
    if (message.t === 'ping') {
      const p = { client_timestamp: message.p?.timestamp ?? 0 };
      socket.send(JSON.stringify({ c: 'WSE', t: 'PONG', p, v: 1 }));
    }
  });
});

server.listen(0, '127.0.0.1', () => {
  const address = `127.0.0.1:${server.address().port}`;
  console.log(address, address);
});
