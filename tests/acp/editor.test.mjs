// An editor as its makers' library builds one: all that the agent sends is checked by the schema of the protocol, too.
// MANYHANDS names the program.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { client, methods, ndJsonStream, PROTOCOL_VERSION } from '@agentclientprotocol/sdk';
import protocol from '@agentclientprotocol/sdk/schema/v1/schema.json' with { type: 'json' };
import Ajv from 'ajv/dist/2020.js';

const ajv = new Ajv({ strict: false, validateFormats: false }).addSchema(protocol, 'acp');

function fits(kind, value) {
  assert(ajv.validate(`acp#/$defs/${kind}`, value), `${kind} ${JSON.stringify(value)}: ${ajv.errorsText()}`);
  return value;
}

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

test('an editor sees the agent at work, is asked, and finds its session again', async () => {
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
  const connection = client({ name: 'editor' })
    .onNotification(methods.client.session.update, ({ params }) => {
      updates.push(fits('SessionNotification', params).update);
    })
    .onRequest(methods.client.session.requestPermission, ({ params }) => {
      asked.push(fits('RequestPermissionRequest', params).toolCall);
      return { outcome: { outcome: 'selected', optionId: params.options.find(({ kind }) => kind === 'allow_once').optionId } };
    })
    .connect(ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout)));
  const call = async (method, params, kind) => fits(kind, await connection.agent.request(method, params));
  const { session } = methods.agent;

  const us = { protocolVersion: PROTOCOL_VERSION, clientCapabilities: { fs: { readTextFile: true, writeTextFile: true } } };
  const { agentCapabilities } = await call(methods.agent.initialize, us, 'InitializeResponse');
  assert.deepEqual(agentCapabilities.sessionCapabilities, { list: {}, resume: {}, close: {} });
  const { sessionId, modes } = await call(session.new, { cwd: home, mcpServers: [] }, 'NewSessionResponse');
  assert.equal(modes.currentModeId, 'always');
  const say = (text) => call(session.prompt, { sessionId, prompt: [{ type: 'text', text }] }, 'PromptResponse');
  assert.equal((await say('Write a file.')).stopReason, 'end_turn');
  assert.equal(readFileSync(path, 'utf8'), 'one\n');
  const kinds = updates.map((update) => update.sessionUpdate);
  for (const kind of ['plan', 'agent_message_chunk', 'tool_call', 'tool_call_update']) assert(kinds.includes(kind), kind);
  assert(asked.length >= 2);
  assert(asked.some(({ content }) => content[0].type === 'diff' && content[0].newText === 'one\n'));
  const chunks = updates.filter(({ sessionUpdate }) => sessionUpdate === 'agent_message_chunk');
  assert.equal(chunks.map(({ content }) => content.text).join(''), 'Now task_tracker. Now file_editor. Now terminal. Now finish. All is done.');

  const { sessions } = await call(session.list, { cwd: home }, 'ListSessionsResponse');
  assert.deepEqual(sessions.map((one) => one.sessionId), [sessionId]);
  await call(session.close, { sessionId }, 'CloseSessionResponse');
  await assert.rejects(say('It is closed.'));
  let before = updates.length;
  await call(session.load, { sessionId, cwd: home, mcpServers: [] }, 'LoadSessionResponse');
  assert(updates.length > before);
  before = updates.length;
  await call(session.close, { sessionId }, 'CloseSessionResponse');
  await call(session.resume, { sessionId, cwd: home, mcpServers: [] }, 'ResumeSessionResponse');
  assert.equal(updates.length, before, 'nothing is told again');
  await call(session.setMode, { sessionId, modeId: 'never' }, 'SetSessionModeResponse');
  const questions = asked.length;
  assert.equal((await say('Once more.')).stopReason, 'end_turn');
  assert.equal(asked.length, questions);
  agent.stdin.end();
  const status = await new Promise((resolve) => agent.on('exit', resolve));
  assert.equal(status, 0);
  model.close();
});
