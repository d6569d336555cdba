// An editor as its makers' library builds one: what the agent sends is checked by the schema of the protocol, and a message that
// does not fit it fails the call or is missing here. MANYHANDS names the program.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { ClientSideConnection, ndJsonStream, PROTOCOL_VERSION } from '@zed-industries/agent-client-protocol';
import * as schema from '@zed-industries/agent-client-protocol/dist/schema.js';

const finish = { name: 'finish', arguments: { message: 'All is done.' } };

// Streams one call after the other, each with a word before it.
async function startModel(calls) {
  const server = createServer(async (request, response) => {
    for await (const _ of request);
    const { name, arguments: given } = calls.shift() ?? finish;
    const call = { index: 0, id: 'call_1', type: 'function', function: { name, arguments: JSON.stringify(given) } };
    const chunk = (delta, reason = null) =>
      response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 0, model: 'scripted', choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`);
    response.setHeader('Content-Type', 'text/event-stream');
    chunk({ role: 'assistant', content: 'Now ' });
    chunk({ content: `${name}. ` });
    chunk({ tool_calls: [call] });
    chunk({}, 'tool_calls');
    response.end('data: [DONE]\n\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/v1`, close: () => server.close() };
}

test('an editor sees the agent at work, and is asked', async () => {
  const home = mkdtempSync(join(tmpdir(), 'editor-'));
  const path = join(home, 'a.txt');
  const model = await startModel([
    { name: 'task_tracker', arguments: { command: 'plan', task_list: [{ title: 'Write', notes: '', status: 'in_progress' }] } },
    { name: 'file_editor', arguments: { command: 'create', path, file_text: 'one\n' } },
    { name: 'terminal', arguments: { command: 'cat a.txt' } },
  ]);
  const env = { PATH: process.env.PATH, HOME: home, LLM_MODEL: 'openai/scripted', LLM_API_KEY: 'k', LLM_BASE_URL: model.url };
  const agent = spawn(process.env.MANYHANDS ?? 'manyhands', ['acp', '--confirm'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const updates = [];
  const asked = [];
  const client = {
    async sessionUpdate(params) {
      updates.push(schema.sessionNotificationSchema.parse(params).update);
    },
    async requestPermission(params) {
      asked.push(schema.requestPermissionRequestSchema.parse(params).toolCall);
      return { outcome: { outcome: 'selected', optionId: params.options.find(({ kind }) => kind === 'allow_once').optionId } };
    },
  };
  const connection = new ClientSideConnection(() => client, ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout)));
  const said = await connection.initialize({ protocolVersion: PROTOCOL_VERSION, clientCapabilities: { fs: { readTextFile: true, writeTextFile: true } } });
  schema.initializeResponseSchema.parse(said);
  const { sessionId } = await connection.newSession({ cwd: home, mcpServers: [] });
  const { stopReason } = await connection.prompt({ sessionId, prompt: [{ type: 'text', text: 'Write a file.' }] });
  assert.equal(stopReason, 'end_turn');
  assert.equal(readFileSync(path, 'utf8'), 'one\n');
  const kinds = updates.map((update) => update.sessionUpdate);
  for (const kind of ['plan', 'agent_message_chunk', 'tool_call', 'tool_call_update']) assert(kinds.includes(kind), kind);
  assert(asked.length >= 2);
  const chunks = updates.filter(({ sessionUpdate }) => sessionUpdate === 'agent_message_chunk');
  assert.equal(chunks.map(({ content }) => content.text).join(''), 'Now task_tracker. Now file_editor. Now terminal. Now finish. All is done.');
  const before = updates.length;
  await connection.loadSession({ sessionId, cwd: home, mcpServers: [] });
  assert(updates.length > before);
  agent.stdin.end();
  const status = await new Promise((resolve) => agent.on('exit', resolve));
  assert.equal(status, 0);
  model.close();
});
