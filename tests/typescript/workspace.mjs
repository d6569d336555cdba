// Commands, files, git, and what is found or installed in folders.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  agent, all, apiKey, bashSocket, folder, host, manager, refused, shell, unique, until, workspace,
} from './harness.mjs';

const { equal, deepEqual, ok, rejects } = assert;

test('commands run, are told on the socket, and are found again', async () => {
  const seen = [];
  const socket = bashSocket((event) => seen.push(event));
  socket.start();
  const command = await all.bash.startCommand('echo out; echo err >&2; exit 3', folder, 10);
  const output = await until('the output on the socket', () => seen.find((event) => event.command_id === command.id));
  socket.stop();
  deepEqual([output.exit_code, output.stdout, output.stderr], [3, 'out\n', 'err\n']);
  const { items } = await all.bash.searchEvents({ kind__eq: 'BashOutput', command_id__eq: command.id });
  deepEqual(items.map(({ id }) => id), [output.id]);
  const unknown = '0'.repeat(32);
  deepEqual((await all.bash.getEvents([command.id, unknown])).map((event) => event?.kind), ['BashCommand', undefined]);
  deepEqual((await all.bash.batchGetEvents([unknown, output.id])).map((event) => event?.kind), [undefined, 'BashOutput']);
  equal((await all.bash.executeCommand({ command: 'pwd', cwd: folder, timeout: 5 })).stdout.trim(), folder);
});

test('commands are forgotten when asked', async () => {
  equal(typeof (await all.bash.clearEvents()).cleared_count, 'number');
});

test('files go up and come down unchanged, whatever they hold', async () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
  equal((await all.files.uploadFile(new Blob([bytes]), `${folder}/deep/bytes.bin`)).success, true);
  deepEqual(new Uint8Array(await all.files.downloadFile(`${folder}/deep/bytes.bin`)), bytes);
  await all.files.uploadTextFile('žluť\n', `${folder}/text.txt`);
  equal(await all.files.downloadTextFile(`${folder}/text.txt`), 'žluť\n');
  ok((await all.files.getHome({ includeHidden: true })).home.startsWith('/'));
  const { items } = await all.files.searchSubdirectories(folder, { limit: 10 });
  deepEqual(items, [{ name: 'deep', path: `${folder}/deep` }]);
  await rejects(all.files.downloadFile(`${folder}/none`), refused(404));
});

test('a workspace takes files of each kind and gives them back as each', async () => {
  const path = `${folder}/up.json`;
  equal((await workspace.uploadText('{"a": 1}', path)).file_size, 8);
  equal(await workspace.downloadAsText(path), '{"a": 1}');
  equal(await (await workspace.downloadAsBlob(path)).text(), '{"a": 1}');
  equal((await workspace.uploadFileObject(new File(['abc'], 'abc.txt'), path)).success, true);
  equal((await workspace.fileDownload(path)).content, 'abc');
});

test('a workspace shows what git sees', async () => {
  await shell(`mkdir repo && cd repo && git init -q && git config user.email a@b.c && git config user.name n
    echo one > file && git add . && git commit -qm first && echo two >> file`);
  deepEqual((await workspace.gitChanges(`${folder}/repo`)).map(({ path, status }) => [path, status]), [['file', 'UPDATED']]);
  deepEqual(await workspace.gitChanges(`${folder}/repo`, { ref: 'HEAD' }), await workspace.gitChanges(`${folder}/repo`));
  const diff = await workspace.gitDiff(`${folder}/repo/file`, { ref: 'HEAD' });
  deepEqual([diff.original.trim(), diff.modified.trim()], ['one', 'one\ntwo']);
});

test('a browser opens files of a conversation with a cookie', async () => {
  const conversation = await manager.createConversation(agent(), { workingDir: folder });
  await all.files.uploadTextFile('<p>page</p>', `${folder}/page.html`);
  const base = await workspace.startWorkspaceSession(conversation.id);
  const { headers } = await fetch(`${host}/api/auth/workspace-session`, { method: 'POST', headers: apiKey ? { 'X-Session-API-Key': apiKey } : {} });
  const cookie = headers.getSetCookie()[0]?.split(';')[0] ?? '';
  equal(await (await fetch(`${base}page.html`, { headers: { cookie } })).text(), '<p>page</p>');
  await workspace.deleteWorkspaceSession();
  await manager.deleteConversation(conversation.id);
});

test('skills, plugins, hooks and sub-agents of a project are found', async () => {
  const project = `${folder}/project`;
  await all.files.uploadTextFile('---\nname: knows\ndescription: d\n---\nBe kind.\n', `${project}/.agents/skills/knows/SKILL.md`);
  await all.files.uploadTextFile('---\nname: helper\ndescription: helps\n---\nHelp.\n', `${project}/.agents/agents/helper.md`);
  await all.files.uploadTextFile('{"stop": [{"hooks": [{"command": "true"}]}]}', `${project}/.openhands/hooks.json`);
  const only = { load_public: false, load_user: false, load_org: false, project_dir: project };
  deepEqual((await all.skills.getSkills(only)).skills.map(({ name }) => name), ['knows']);
  const { agents } = await all.subAgents.getSubAgents({ project_dir: project, load_user: false });
  ok(agents.some(({ name, level }) => name === 'helper' && level === 'project') && agents.some(({ is_builtin }) => is_builtin));
  equal((await all.hooks.loadHooks({ project_dir: project })).hook_config.stop[0].hooks[0].command, 'true');
  ok(Array.isArray((await all.plugins.getPlugins({ project_dir: project })).plugins));
  ok(['success', 'error'].includes((await all.skills.syncSkills()).status));
});

for (const [kind, calls] of Object.entries({
  skill: {
    files: { 'SKILL.md': `---\nname: ${unique}\ndescription: d\n---\nBe kind.\n` },
    install: (source) => all.skills.installSkill({ source, force: true }),
    list: async () => (await all.skills.listInstalledSkills()).skills,
    get: () => all.skills.getInstalledSkill(unique),
    enable: (enabled) => all.skills.toggleSkill(unique, enabled),
    refresh: () => all.skills.refreshSkill(unique),
    remove: () => all.skills.uninstallSkill(unique),
    shop: async () => (await all.skills.getMarketplace()).skills,
  },
  plugin: {
    files: { '.plugin/plugin.json': JSON.stringify({ name: unique, version: '1.0.0', description: 'd' }) },
    install: (source) => all.plugins.installPlugin({ source, force: true }),
    list: async () => (await all.plugins.listInstalledPlugins()).plugins,
    get: () => all.plugins.getInstalledPlugin(unique),
    enable: (enabled) => all.plugins.setPluginEnabled(unique, enabled),
    refresh: () => all.plugins.refreshPlugin(unique),
    remove: () => all.plugins.uninstallPlugin(unique),
    shop: async () => (await all.plugins.getPluginsMarketplace()).plugins,
  },
})) {
  test(`a ${kind} is installed from a folder, turned off, refreshed and removed`, async () => {
    const source = `${folder}/${unique}-${kind}/${unique}`;
    for (const [name, text] of Object.entries(calls.files)) await all.files.uploadTextFile(text, `${source}/${name}`);
    equal((await calls.install(source)).name, unique);
    ok((await calls.list()).some(({ name, enabled }) => name === unique && enabled));
    equal((await calls.enable(false)).enabled, false);
    equal((await calls.get()).enabled, false);
    ok((await calls.refresh()).message);
    ok((await calls.remove()).message);
    await rejects(calls.get(), refused(404));
  });

  test(`the shop for a ${kind} is shown`, async () => {
    ok(Array.isArray(await calls.shop()));
  });
}

test('the editor says whether it runs', async () => {
  equal(typeof (await all.vscode.getStatus()).running, 'boolean');
  // There is none on every machine.
  await all.vscode.getUrl({ baseUrl: 'http://localhost:8001', workspaceDir: folder })
    .then((url) => ok(url === null || url.startsWith('http://localhost:8001')), (error) => equal(error.status, 503));
});
