// What the tests share: one object of each client for the server that the environment names, a record of the methods that
// were called, a model, a folder, and conversations that have run.
import { equal } from 'node:assert/strict';
import { WebSocket } from 'ws';
import { startModel } from './model.mjs';
import { inTurns } from './turns.mjs';

// The sockets of the client take the browser's, and find no other in a module.
globalThis.window = { WebSocket };
const clients = await import('@openhands/typescript-client/clients');
export const client = await import('@openhands/typescript-client');

const servers = (process.env.MANYHANDS_URL ?? 'http://127.0.0.1:8000').split(',');
const front = servers.length > 1 ? await inTurns(servers) : { url: servers[0], close() {} };
export const host = front.url;
export const apiKey = process.env.MANYHANDS_KEY || undefined;
const options = { host, apiKey };

// What speaks to no agent server, and what others call.
const ASIDE = ['CloudClient', 'OpenHandsClient', 'HttpClient'];
const INNER = ['constructor', 'connect', 'reportError', 'scheduleReconnect'];
// It saves a file from the page of a browser.
const BROWSER = ['RemoteWorkspace.downloadAndSave'];
const uncalled = new Set();

for (const [name, type] of Object.entries({ ...client, ...clients })) {
  if (!/Client$|^Remote|Manager$/.test(name) || ASIDE.includes(name)) continue;
  for (const [method, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type.prototype))) {
    const full = `${name}.${method}`;
    if (!value || INNER.includes(method) || BROWSER.includes(full)) continue;
    uncalled.add(full);
    type.prototype[method] = function (...args) {
      uncalled.delete(full);
      return value.apply(this, args);
    };
  }
}

export const methodsNotCalled = () => [...uncalled];

/** All clients of one server, by their short names: `server`, `conversations`, `settings`, … */
export const all = new clients.AgentServerClient(options);
export const manager = new client.ConversationManager(options);
export const workspace = new client.RemoteWorkspace({ ...options, workingDir: '/' });
export const bashSocket = (callback) =>
  new client.BashWebSocketClient({ ...options, callback, resendMode: 'all' });

export async function until(what, look) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const unique = `ts${process.pid}-${Date.now() % 1e6}`;
export const refused = (status) => (error) => error instanceof client.HttpError && error.status === status;

export const model = await startModel(process.env.MODEL_ADDRESS);
export const llm = { model: 'openai/scripted', api_key: 'llm-key', base_url: model.url, usage_id: 'agent', num_retries: 0 };
export const agent = () => new client.Agent({ llm, tools: [{ name: 'terminal' }] });

/** On the server's side. */
export const folder = (await all.bash.executeCommand('mktemp -d')).stdout.trim();

export async function shell(command) {
  const result = await workspace.executeCommand(command, folder, 20);
  equal(result.exit_code, 0, result.stderr);
  return result.stdout;
}

export const rests = (conversation, status) =>
  until(`status ${status}`, async () => (await all.conversations.getConversation(conversation.id)).execution_status === status);

export async function end() {
  await all.bash.executeCommand(`rm -rf ${folder}`);
  model.close();
  front.close();
}

/** A conversation that has run `text` to its end. */
export async function told(text) {
  const conversation = await manager.createConversation(agent(), { workingDir: folder });
  await conversation.sendMessage(text);
  await conversation.run();
  await rests(conversation, 'finished');
  return conversation;
}
