// What a server says of itself and keeps for its clients.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, folder, llm, refused, unique } from './harness.mjs';

const { equal, deepEqual, ok, match, rejects } = assert;

test('a server says that it is well, who it is and what it can do', async () => {
  ok(await all.server.getRoot());
  equal((await all.server.getAlive()).status, 'ok');
  ok(await all.server.getHealth());
  equal((await all.server.getReady()).status, 'ready');
  match((await all.server.getServerInfo()).version, /^\d+\.\d+\.\d+$/);
  ok((await all.tools.listTools()).includes('terminal'));
  const info = await all.request({ method: 'GET', path: '/server_info', authMode: 'none' });
  equal(info.title, (await all.server.getServerInfo()).title);
});

test('the catalogue names providers and their models', async () => {
  ok((await all.llm.getProviders()).includes('openai'));
  ok((await all.llm.getModels('openai')).length > 0);
  ok((await all.llm.getModels()).length > (await all.llm.getModels('openai')).length);
  ok((await all.llm.getVerifiedModels()).anthropic.length > 0);
});

test('a login with ChatGPT is offered, and is off until somebody logs in', async () => {
  ok((await all.llm.getOpenAISubscriptionModels()).length > 0);
  equal((await all.llm.getOpenAISubscriptionStatus()).connected, false);
  ok(await all.llm.logoutOpenAISubscription());
  // OpenAI itself may be out of reach of the machine.
  await all.llm.startOpenAISubscriptionDeviceLogin().then(
    (login) => ok(login.user_code),
    (error) => ok(!(error.status < 500)));
  await rejects(all.llm.pollOpenAISubscriptionDeviceLogin('no-such-code'), (error) => error.status < 500);
});

test('settings are merged, shown masked, and shown whole when asked', async () => {
  ok((await all.settings.getAgentSchema()).sections.length > 0);
  ok((await all.settings.getConversationSchema()).sections.length > 0);
  const changed = await all.settings.updateSettings({ agent_settings_diff: { llm } });
  equal(changed.llm_api_key_is_set, true);
  equal(changed.agent_settings.llm.model, llm.model);
  const shown = async (exposeSecrets) => (await all.settings.getSettings({ exposeSecrets })).agent_settings.llm.api_key;
  equal(await shown(), '**********');
  equal(await shown('plaintext'), 'llm-key');
  match(await shown('encrypted'), /^gAAAAA/);
});

test('an MCP server is kept, changed and removed by its name', async () => {
  const kept = await all.settings.createMcpServer(unique, { command: 'true', args: [], env: { TOKEN: 'very-secret' } });
  equal(kept.agent_settings.mcp_config[unique].command, 'true');
  ok(!JSON.stringify(kept).includes('very-secret'));
  const changed = await all.settings.patchMcpServer(unique, { command: 'false' });
  equal(changed.agent_settings.mcp_config[unique].command, 'false');
  ok(!(unique in ((await all.settings.deleteMcpServer(unique)).agent_settings.mcp_config ?? {})));
  await rejects(all.settings.deleteMcpServer(unique), refused(404));
});

test('a secret is kept, listed without its value, given out by its name, and removed', async () => {
  const name = `SECRET_${process.pid}`;
  equal((await all.settings.upsertSecret({ name, value: 'very-secret', description: 'mine' })).name, name);
  const { secrets } = await all.settings.listSecrets();
  deepEqual(secrets.find((secret) => secret.name === name), { name, description: 'mine' });
  equal(await all.settings.getSecret(name), 'very-secret');
  equal((await all.settings.deleteSecret(name)).deleted, true);
  await rejects(all.settings.getSecret(name), refused(404));
});

test('a profile of a model is saved, shown, renamed, tried, used and removed', async () => {
  const newName = `${unique}-b`;
  for (const profiles of [all.profiles, all.settings]) {
    equal((await profiles.saveProfile(unique, { llm, include_secrets: true })).name, unique);
    ok((await profiles.listProfiles()).profiles.some(({ name, api_key_set }) => name === unique && api_key_set));
    equal((await profiles.getProfile(unique, { exposeSecrets: 'plaintext' })).config.api_key, 'llm-key');
    equal((await profiles.renameProfile(unique, newName)).name, newName);
    await rejects(profiles.getProfile(unique), refused(404));
    equal((await profiles.deleteProfile(newName)).name, newName);
  }
  await all.profiles.saveProfile(unique, { llm });
  equal((await all.profiles.validateProfile(unique, { llm })).valid, true);
  equal((await all.profiles.activateProfile(unique)).llm_applied, true);
  equal((await all.profiles.listProfiles()).active_profile, unique);
});

test('a routing of tasks to models is saved, shown, used and removed', async () => {
  const config = { classifier_model: unique, default_model: unique, classes: [{ description: 'small tasks', model: unique }] };
  equal((await all.metaProfiles.saveMetaProfile(unique, config)).name, unique);
  ok((await all.metaProfiles.listMetaProfiles()).meta_profiles.some(({ name, num_classes }) => name === unique && num_classes === 1));
  deepEqual((await all.metaProfiles.getMetaProfile(unique)).config.classes, config.classes);
  equal((await all.metaProfiles.activateMetaProfile(unique)).name, unique);
  equal((await all.metaProfiles.listMetaProfiles()).active_meta_profile, unique);
  equal((await all.metaProfiles.deleteMetaProfile(unique)).name, unique);
});

test('an agent profile is saved, previewed, used by its id, renamed and removed', async () => {
  await all.agentProfiles.saveAgentProfile(unique, { agent_kind: 'openhands', llm_profile_ref: unique });
  const { profile } = await all.agentProfiles.getAgentProfile(unique, { exposeSecrets: 'encrypted' });
  equal(profile.llm_profile_ref, unique);
  const preview = await all.agentProfiles.materializeAgentProfile(unique);
  deepEqual([preview.valid, preview.llm_profile_resolved, preview.errors], [true, true, []]);
  ok(await all.agentProfiles.activateAgentProfile(profile.id));
  equal((await all.agentProfiles.listAgentProfiles()).active_agent_profile_id, profile.id);

  const conversation = await all.conversations.createConversation({ agent_profile_id: profile.id, workspace: { working_dir: folder } });
  equal(conversation.launched_agent_profile.agent_profile_id, profile.id);
  await all.conversations.deleteConversation(conversation.id);

  ok(await all.agentProfiles.renameAgentProfile(unique, `${unique}-b`));
  ok(await all.agentProfiles.deleteAgentProfile(`${unique}-b`));
  await rejects(all.agentProfiles.getAgentProfile(unique), refused(404));
});

test('folders are remembered and forgotten', async () => {
  const item = (path) => ({ id: path, name: 'mine', path });
  const names = (list) => list.filter(({ path }) => path.startsWith(folder)).map(({ path }) => path);
  await all.workspaces.addWorkspaces([item(`${folder}/a`)]);
  await all.workspaces.addWorkspaceParents([item(folder)]);
  const kept = await all.workspaces.listWorkspaces();
  deepEqual([names(kept.workspaces), names(kept.workspaceParents)], [[`${folder}/a`], [folder]]);
  equal((await all.workspaces.deleteWorkspace(`${folder}/a`)).deleted, true);
  equal((await all.workspaces.deleteWorkspaceParent(folder)).deleted, true);
});
