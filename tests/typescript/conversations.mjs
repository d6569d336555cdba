// Conversations, their events and their state.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  agent, all, apiKey, client, folder, host, llm, manager, refused, rests, shell, told, unique, until,
} from './harness.mjs';

const { equal, deepEqual, ok, match, rejects } = assert;

test('a conversation runs, and its socket tells all of it', async () => {
  const events = [];
  const conversation = new client.RemoteConversation(agent(), new client.RemoteWorkspace({ host, apiKey, workingDir: folder }), {
    callback: (event) => events.push(event), onError: (error) => { throw error; },
  });
  await conversation.start({ maxIterations: 20 });
  await conversation.startWebSocketClient();
  await until('the first state', () => events.some(({ key }) => key === 'full_state'));
  await conversation.sendMessage('do: echo hello > made');
  await conversation.run();
  const end = await until('the end of the run', () => events.findLast(({ key, value }) => key === 'full_state' && value.execution_status === 'finished'));
  equal(end.value.id, conversation.id);
  equal(await all.files.downloadTextFile(`${folder}/made`), 'hello\n');
  equal(await conversation.getAgentFinalResponse(), 'All is done.');

  const stored = await conversation.state.events.getEvents();
  deepEqual(stored.filter(({ kind }) => kind !== 'ConversationStateUpdateEvent').map(({ kind }) => kind),
    ['SystemPromptEvent', 'MessageEvent', 'ActionEvent', 'ObservationEvent', 'MessageEvent']);
  equal(new Set(stored.map(({ id }) => id)).size, stored.length);
  ok((await conversation.conversationStats()).usage_to_metrics.agent);
  await conversation.stopWebSocketClient();
  await manager.deleteConversation(conversation.id);
  await conversation.close();
});

test('the state of a conversation is read in all its parts', async () => {
  const conversation = await told('hi');
  const { state } = conversation;
  equal((await state.getConversationInfo()).id, conversation.id);
  equal(await state.getExecutionStatus(), 'finished');
  equal(await state.getAgentStatus(), 'finished');
  equal((await state.getConfirmationPolicy()).kind, 'NeverConfirm');
  deepEqual(await state.getActivatedKnowledgeSkills(), []);
  equal((await state.getAgent()).llm.model, llm.model);
  equal((await state.getWorkspace()).working_dir, folder);
  equal(typeof await state.getPersistenceDir(), 'string');
  match(await state.modelDumpJson(), /finished/);
  equal((await state.refresh()).execution_status, 'finished');
  await rejects(state.setAgentStatus('idle'));
  await manager.deleteConversation(conversation.id);
});

test('events are searched, paged, counted and given one by one', async () => {
  const conversation = await told('hi');
  const { id } = conversation;
  const { events } = conversation.state;
  const all_ = (await all.conversations.searchEvents(id, { limit: 100 })).items;
  equal(await all.conversations.getEventCount(id), all_.length);
  const paged = [];
  let page_id;
  do {
    const page = await events.search({ limit: 2, page_id, sort_order: 'TIMESTAMP' });
    paged.push(...page.items);
    page_id = page.next_page_id;
  } while (page_id);
  deepEqual(paged, all_);
  equal(await events.count({ kind: 'MessageEvent', source: 'user' }), 1);
  const message = all_.find(({ kind }) => kind === 'MessageEvent');
  const unknown = '00000000-0000-4000-8000-000000000000';
  for (const found of [await all.conversations.getEvents(id, [message.id, unknown]), await events.getEventsById([message.id, unknown])])
    deepEqual(found.map((event) => event?.id ?? null), [message.id, null]);
  await events.append(message);
  events.createDefaultCallback()(message);
  deepEqual([await events.length(), (await events.getEvent(0)).id], [1, message.id]);
  await manager.deleteConversation(id);
});

test('conversations are searched, counted, loaded, named and removed', async () => {
  const { id } = await told('hi');
  const other = (await manager.acp.createConversation(agent(), { workingDir: folder, initialMessage: 'hi' })).id;
  equal((await all.conversations.updateConversation(id, { title: 'Mine', tags: { run: 'mine' } })).success, true);
  const found = await all.conversations.searchConversations({ status: 'finished', sort_order: 'CREATED_AT_DESC' });
  equal(found.items.find((info) => info.id === id).title, 'Mine');
  ok(await all.conversations.countConversations({ status: 'finished' }) > 0);
  const unknown = '00000000-0000-4000-8000-000000000000';
  for (const { getConversations } of [all.conversations, manager, manager.acp].map((from) => ({ getConversations: (ids) => from.getConversations(ids) })))
    deepEqual((await getConversations([id, unknown, other])).map((info) => info?.id ?? null), [id, null, other]);
  for (const list of [await manager.getAllConversations(), await manager.acp.getAllConversations()])
    ok([id, other].every((one) => list.some((info) => info.id === one)));
  equal(await manager.countConversations(), await manager.acp.countConversations());
  equal((await manager.acp.searchConversations({ limit: 1 })).items.length, 1);
  equal((await manager.acp.getConversation(other)).id, other);

  const loaded = await manager.loadConversation(id, folder);
  await loaded.setTitle('Renamed');
  await manager.updateConversation(id, { tags: {} });
  const info = await manager.getConversation(id);
  deepEqual([info.title, info.tags], ['Renamed', {}]);
  for (const one of [id, other]) await all.conversations.deleteConversation(one);
  await rejects(all.conversations.getConversation(id), refused(404));
  await rejects(all.conversations.deleteConversation(id), refused(404));
});

test('an action waits for a yes, and a no is told to the agent', async () => {
  const conversation = await manager.createConversation(agent(), { workingDir: folder });
  await conversation.setConfirmationPolicy({ kind: 'AlwaysConfirm' });
  for (const [file, accept] of [['refused', false], ['accepted', true]]) {
    await conversation.sendMessage(`do: touch ${file}`);
    await conversation.run();
    await rests(conversation, 'waiting_for_confirmation');
    if (accept) await conversation.sendConfirmationResponse(true);
    else await all.conversations.respondToConfirmation(conversation.id, { accept, reason: 'not that' });
    await rests(conversation, accept ? 'finished' : 'idle');
  }
  deepEqual((await shell('ls refused accepted 2>/dev/null || true')).trim(), 'accepted');
  equal((await all.conversations.setConfirmationPolicy(conversation.id, { kind: 'NeverConfirm' })).success, true);
  equal((await all.conversations.setSecurityAnalyzer(conversation.id, { kind: 'LLMSecurityAnalyzer' })).success, true);
  await conversation.setSecurityAnalyzer(null);
  await manager.deleteConversation(conversation.id);
});

test('a run is paused and interrupted, and a second one is refused meanwhile', async () => {
  for (const stop of [(one) => all.conversations.interruptConversation(one.id), (one) => all.conversations.pauseConversation(one.id), (one) => one.pause()]) {
    const conversation = await manager.createConversation(agent(), { workingDir: folder });
    await all.conversations.sendEvent(conversation.id, { role: 'user', content: [{ type: 'text', text: 'do: sleep 2' }] }, { run: false });
    equal((await all.conversations.runConversation(conversation.id)).success, true);
    await rejects(all.conversations.runConversation(conversation.id), refused(409));
    await stop(conversation);
    await rests(conversation, 'paused');
    await manager.deleteConversation(conversation.id);
  }
});

test('a conversation is asked, given secrets, moved to other models, and exported', async () => {
  const conversation = await told('hi');
  const { id } = conversation;
  equal(await conversation.askAgent('What now?'), 'All is done.');
  equal((await all.conversations.askAgent(id, 'What now?')).response, 'All is done.');
  equal((await all.conversations.getAgentFinalResponse(id)).response, 'All is done.');
  equal((await all.conversations.updateSecrets(id, { secrets: { A: { kind: 'StaticSecret', value: 'a' } } })).success, true);
  await conversation.updateSecrets({ TOKEN: 'very-secret', LATE: () => 'later-secret' });
  await conversation.sendMessage('do: echo "$TOKEN"');
  await conversation.run();
  await rests(conversation, 'finished');
  match(JSON.stringify(await conversation.state.events.search({ kind: 'ObservationEvent' })), /<secret-hidden>/);

  await all.conversations.switchProfile(id, unique);
  await conversation.switchProfile(unique);
  await manager.switchProfile(id, unique);
  await all.conversations.switchLLM(id, { ...llm, model: 'openai/other' });
  equal((await all.conversations.getConversation(id)).agent.llm.model, 'openai/other');
  await conversation.switchLlm(llm);
  // Its agent has no condenser.
  await rejects(all.conversations.condenseConversation(id), refused(409));
  await rejects(conversation.condense(), refused(409));
  for (const zip of [await conversation.downloadTrajectory(), await all.files.downloadTrajectory(id)])
    equal(await zip.slice(0, 2).text(), 'PK');
  equal(await conversation.getHookConfig(), null);
  equal((await conversation.loadHooks(`${folder}/project`)).stop.length, 1);
  await manager.deleteConversation(id);
});
