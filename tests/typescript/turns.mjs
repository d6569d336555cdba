// One address for several servers: requests and sockets go to them in turns, so that what one client asks meets all of
// them, as behind the load balancer of a cluster. `node turns.mjs URL URL …` prints the address.
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { pathToFileURL } from 'node:url';

/** For `urls`, on a free port of `address`; it ends with the process, or by `close`. */
export async function inTurns(urls, address = '127.0.0.1') {
  const servers = urls.map((url) => new URL(url));
  let turn = 0;
  const next = () => servers[turn++ % servers.length];

  const proxy = createServer((asked, answer) => {
    const { hostname, port } = next();
    const { method, url: path, headers } = asked;
    const passed = request({ hostname, port, method, path, headers: { ...headers, connection: 'close' }, agent: false });
    passed.on('response', (given) => {
      answer.writeHead(given.statusCode, given.rawHeaders);
      given.pipe(answer);
      given.on('error', () => answer.destroy());
    });
    passed.on('error', () => answer.destroy());
    answer.on('close', () => passed.destroy());
    asked.pipe(passed);
  });
  proxy.on('upgrade', (asked, client, first) => {
    const { hostname, port } = next();
    const server = connect(port, hostname, () => {
      const pairs = asked.rawHeaders.map((text, at) => text + (at % 2 ? '\r\n' : ': '));
      server.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${pairs.join('')}\r\n`);
      server.write(first);
      server.pipe(client).pipe(server);
    });
    for (const [one, other] of [[client, server], [server, client]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  await new Promise((resolve) => proxy.listen(0, address, resolve));
  const close = () => {
    proxy.close();
    proxy.closeAllConnections();
  };
  return { url: `http://${address}:${proxy.address().port}`, close };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log((await inTurns(process.argv.slice(2))).url);
