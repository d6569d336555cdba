// Keys, what conversations do beyond running, MCP servers, and what only others serve.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agent, all, apiKey, client, folder, host, manager, model, refused, told, unique } from './harness.mjs';

const { equal, deepEqual, rejects } = assert;

test('what is read belongs to whoever has the key', { skip: !apiKey }, async () => {
  const stranger = new client.ConversationManager({ host, apiKey: 'wrong' });
  await rejects(stranger.searchConversations(), refused(401));
  await rejects(stranger.settings.getSettings(), refused(401));
});

test('a conversation goes on from an earlier event, in place and as a copy', async () => {
  const conversation = await told('hi');
  const { items } = await conversation.state.events.search({ kind: 'MessageEvent' });
  const copy = await conversation.fork({ title: 'Copy' }, { includeSkills: true });
  equal((await copy.state.getConversationInfo()).title, 'Copy');
  const other = await all.conversations.forkConversation(conversation.id);
  equal(other.leaf_event_id, (await conversation.state.refresh()).leaf_event_id);
  await conversation.navigateTo(items[0].id);
  equal((await conversation.state.getConversationInfo()).leaf_event_id, items[0].id);
  equal((await all.conversations.navigateConversation(conversation.id, { event_id: null })).leaf_event_id, null);
  for (const { id } of [conversation, copy, other]) await manager.deleteConversation(id);
});

test('a goal is pursued, stopped and taken up again', async () => {
  const conversation = await manager.createConversation(agent(), { workingDir: folder });
  const { id } = conversation;
  await rejects(all.conversations.resumeGoal(id), refused(400));
  equal((await all.conversations.startGoal(id, { objective: 'do: sleep 20', max_iterations: 2 })).success, true);
  await rejects(conversation.startGoal('another'), refused(409));
  equal((await all.conversations.stopGoal(id)).success, true);
  // It ends the pursuit; the step under way would go on.
  await all.conversations.interruptConversation(id);
  await conversation.resumeGoal();
  await conversation.stopGoal();
  await manager.deleteConversation(id);
});

test('only an ACP agent changes its model as one', async () => {
  const conversation = await told('hi');
  await rejects(conversation.switchAcpModel('other'), refused(400));
  await rejects(all.conversations.switchAcpModel(conversation.id, 'other'), refused(400));
  await manager.deleteConversation(conversation.id);
});

test('an MCP server that does not speak is said to be none', async () => {
  const { ok: well, error_kind } = await all.mcp.testServer({ server: { type: 'stdio', command: 'false' }, timeout: 5 });
  deepEqual([well, typeof error_kind], [false, 'string']);
  const server = { type: 'http', url: `${model.url}/mcp`, auth: { strategy: 'oauth2' } };
  equal((await all.mcp.startOAuth({ server, timeout: 5 })).ok, false);
});

test('logins to MCP servers that nobody began are unknown', async () => {
  await rejects(all.mcp.getOAuthStatus('none'), refused(404));
  await rejects(all.mcp.submitOAuthCallback('none', { callback_url: 'http://localhost/?code=1&state=2' }), refused(404));
});

test('what only the hosted service has is unknown', async () => {
  await rejects(all.desktop.getUrl(), refused(404));
  await rejects(all.shared.getSharedConversation(unique), refused(404));
  await rejects(all.shared.searchSharedEvents({ conversationId: unique }), refused(404));
});
