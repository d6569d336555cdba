// Agent Canvas against the server, as a person uses it: each step is a promise, done through the page. The README says how to
// run it. Screenshots are in `screenshots/`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onboarding } from "./onboarding.mjs";
import { setUp } from "./stage.mjs";
import { steps } from "./steps.mjs";

const stage = await setUp();
const { page, model, url, key, folder, api, shell, scripts } = stage;
const { step, shoot, end } = steps(stage, "canvas");
const { consents, keepsModel, starts } = onboarding(page, model);
const id = (name) => page.getByTestId(name);
const shown = (text) => page.getByText(text).first().waitFor();

const open = (path) => page.goto(url + path, { waitUntil: "commit" });
const opened = () => page.waitForURL(/\/conversations\/[0-9a-f-]{36}/, { waitUntil: "commit" });
// The box can be seen before it takes anything.
async function say(text) {
  while (!(await id("chat-input").innerText()).includes(text)) {
    await id("chat-input").click();
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
  }
  await id("submit-button").click();
}
async function startConversation(text) {
  await open("/conversations");
  await id("open-workspace-button").waitFor();
  await say(text);
  await opened();
  await id("conversation-name").waitFor();
}
const conversation = () => page.url().match(/conversations\/([0-9a-f-]{36})/)[1];
const workingDir = async () => (await api("GET", `/api/conversations/${conversation()}`)).workspace.working_dir;
async function tab(name) {
  await id("right-panel-toggle").waitFor();
  const closed = page.getByLabel("Show panel");
  if (await closed.isVisible()) await closed.click();
  await id(`conversation-tab-${name}`).click();
}
async function menu(button) {
  await id("conversation-name").getByTestId("ellipsis-button").click();
  await id("conversation-name-context-menu").getByTestId(button).click();
}

const call = (name, args) => ({ tool_calls: [{ id: `call-${Math.random()}`, name, arguments: args }], input_tokens: 100, output_tokens: 10 });
const terminal = (command, more) => call("terminal", { command, ...more });
const git = "git -c user.name=a -c user.email=a@b";
await scripts([
  { marker: "[[work]]", turns: [
    { text: "I am ready." },
    terminal(`git init -q .; printf 'one\\ntwo\\n' > notes.txt; git add -A; ${git} commit -qm 'First notes'; echo com''mitted`),
    terminal("printf 'three\\n' >> notes.txt; mkdir -p .agents_tmp; printf '# The plan\\n' > .agents_tmp/PLAN.md"),
    call("task_tracker", { command: "plan", task_list: [{ title: "Check the notes", notes: "", status: "in_progress" }] }),
    { text: "The notes have changed." },
  ] },
  { marker: "[[long]]", turns: [
    terminal("until [ -e go ]; do sleep 0.2; done; echo went on"),
    terminal("sleep 600"),
    { text: "I was stopped." },
    { text: "The other model is here." },
  ] },
  { marker: "[[confirm]]", turns: [
    terminal("echo yes > allowed", { security_risk: "HIGH", summary: "write a file" }),
    terminal("echo no > forbidden", { security_risk: "HIGH", summary: "write another file" }),
  ] },
]);

await step("the first page asks for consent and shows the onboarding", async () => {
  await open("/");
  // Without a key in it the page asks where the server is, and proposes its own address.
  if (!key) await id("onboarding-backend-next").click();
  await consents();
});

await step("onboarding keeps a model", keepsModel);

await step("onboarding starts a conversation", () => starts("Please say something"));

await step("the home page starts a conversation", async () => {
  if (await id("onboarding-hello-close").isVisible()) await id("onboarding-hello-close").click();
  await id("sidebar-conversations-link").waitFor();
  await startConversation("Please [[work]]");
  await shown("I am ready.");
});

await step("a run is watched as it goes on", async () => {
  await shown("I am ready.");
  const deltas = new Promise((resolve) => {
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => `${payload}`.includes("StreamingDeltaEvent") && resolve()));
  });
  await page.reload({ waitUntil: "commit" });
  await shown("I am ready.");
  await tab("terminal");
  await say("Go ahead");
  await deltas;
  await shown("The notes have changed.");
});

await step("the terminal shows what commands have printed", async () => {
  await page.locator(".xterm-rows").getByText("committed").waitFor();
});

await step("files are listed and shown", async () => {
  await tab("files");
  await id("files-tab-refresh").click();
  await id("file-tree-file-notes.txt").click();
  await shown("three");
});

await step("commits and changes are shown in the diff editor", async () => {
  await tab("commits");
  await id("uncommitted-changes-row-toggle").click();
  await page.getByTestId("collapse").last().click();
  await page.locator(".monaco-diff-editor .view-line").getByText("three").first().waitFor({ timeout: 60_000 });
  await id("commit-row-toggle").click();
});

await step("the task list, the planner and the usage are shown", async () => {
  await tab("tasklist");
  await shown("Check the notes");
  await tab("planner");
  await page.getByRole("heading", { name: "The plan" }).waitFor();
  await tab("usage");
  await shown("Token Usage");
});

await step("a run goes on while its page is loaded again", async () => {
  await startConversation("Please [[long]]");
  await id("stop-button").waitFor();
  await page.reload({ waitUntil: "commit" });
  await id("stop-button").waitFor();
  await tab("terminal");
  await shell("touch go", await workingDir());
  await page.locator(".xterm-rows").getByText("went on").waitFor();
});

await step("a run stops and the next message goes on", async () => {
  await id("stop-button").click();
  await shown("Stopped");
  await say("What now?");
  await shown("I was stopped.");
});

await step("a second model is kept", async () => {
  const here = page.url();
  await open("/settings/llm");
  await id("add-llm-profile").click();
  await id("profile-name-input").fill("second");
  await id("llm-custom-model-input").fill("openai/other");
  await id("base-url-input").fill(model);
  await id("llm-api-key-input").fill("sk-test");
  await id("save-profile-btn").click();
  await shown("openai/other");
  await page.goto(here, { waitUntil: "commit" });
  await id("conversation-name").waitFor();
});

await step("another model takes over", async () => {
  await id("chat-input-llm-profile").click();
  await id("chat-input-llm-profile-option-second").click();
  await shown("Switched to profile");
  await say("Who is there?");
  await shown("The other model is here.");
});

await step("a conversation is renamed", async () => {
  await menu("rename-button");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("Renamed by hand");
  await page.keyboard.press("Enter");
  await id("conversation-panel-list-scroll").getByText("Renamed by hand").waitFor();
});

await step("what is known of a conversation is shown", async () => {
  for (const [button, text] of [["show-skills-button", "Public skills"], ["show-hooks-button", "Available Hooks"], ["show-agent-tools-button", "System Message"]]) {
    await menu(button);
    await shown(text);
    await page.keyboard.press("Escape");
  }
});

await step("a conversation is exported", async () => {
  const download = page.waitForEvent("download");
  await menu("download-trajectory-button");
  const file = await (await download).path();
  if (!readFileSync(file).subarray(0, 2).equals(Buffer.from("PK"))) throw new Error("not an archive");
});

await step("a file is attached", async () => {
  const chooser = page.waitForEvent("filechooser");
  await id("chat-plus-button").click();
  await id("add-files-and-images-button").click();
  writeFileSync(join(folder, "attached.txt"), "attached\n");
  await (await chooser).setFiles(join(folder, "attached.txt"));
  await shown("attached.txt");
  await say("See the file");
  await shown("NEW FILES ADDED");
});

await step("a conversation is forked", async () => {
  const before = page.url();
  await page.getByText("What now?").first().hover();
  await page.getByLabel("Branch from here").nth(1).click();
  await page.waitForURL((now) => now.href !== before && /conversations\//.test(now.href));
  await page.goto(before, { waitUntil: "commit" });
  await id("conversation-name").waitFor();
});

await step("a conversation is deleted", async () => {
  await menu("delete-button");
  await page.getByText("Confirm Delete", { exact: true }).last().click();
  await id("conversation-panel-list-scroll").getByText("Renamed by hand", { exact: true }).waitFor({ state: "detached" });
});

await step("every settings page shows its form", async () => {
  for (const [path, text] of [["agents", "Available Profiles"], ["llm", "Provider connections"], ["condenser", "Enable Memory Condensation"],
    ["agent-context", "Persistent Agent Memory"], ["verification", "Confirmation Mode"], ["app", "Git Settings"], ["secrets", "Add a new secret"]]) {
    await open(`/settings/${path}`);
    await shown(text);
    await shoot(`settings-${path}`);
  }
});

await step("a secret is kept and forgotten", async () => {
  await open("/settings/secrets");
  await id("add-secret-button").click();
  await id("name-input").fill("MY_TOKEN");
  await id("value-input").fill("hush");
  await id("submit-button").last().click();
  await id("delete-secret-button").click();
  await id("confirm-button").click();
  await shown("No secrets saved yet.");
});

await step("an agent profile is added", async () => {
  // The form takes the model that is known when it opens.
  const models = page.waitForResponse((answer) => answer.url().endsWith("/api/profiles"));
  await open("/settings/agents");
  await (await models).finished();
  await page.getByText("Add agent profile").click();
  await id("agent-profile-name-input").fill("helper");
  await id("save-agent-profile-btn").click();
  await id("save-agent-profile-btn").waitFor({ state: "detached" });
  await shown("helper");
});

await step("MCP servers are tried out", async () => {
  await open("/mcp");
  await id("mcp-add-custom-server").click();
  await id("server-name-input").fill("nobody");
  await id("url-input").fill("http://127.0.0.1:9/sse");
  const tried = page.waitForResponse((answer) => answer.url().endsWith("/api/mcp/test"));
  await id("mcp-test-connection").click();
  if ((await tried).status() !== 200) throw new Error("a server that is not there has to be told in an answer");
});

await step("skills are listed and one is shown", async () => {
  await open("/skills");
  await page.getByText("add-javadoc").first().click();
  await shown("Add comprehensive JavaDoc");
});

await step("a plugin is installed", async () => {
  const source = (await shell(`cd "$(mktemp -d)" && mkdir .plugin && echo '{"name": "waver", "version": "1.0.0"}' > .plugin/plugin.json && pwd`)).trim();
  await open("/plugins");
  await id("plugins-add-plugin-button").click();
  await id("add-plugin-source-input").fill(source);
  await id("add-plugin-submit").click();
  await id("add-plugin-submit").waitFor({ state: "detached" });
  await shown("waver");
});

await step("apps are listed", async () => {
  await open("/apps");
  await shown("No apps are installed on this backend.");
});

await step("actions are confirmed and rejected", async () => {
  await open("/settings/verification");
  await page.getByText("Confirmation Mode").click();
  await id("save-button").click();
  await shown("Settings saved");
  await startConversation("Please [[confirm]]");
  await id("action-confirm-button").click();
  await shown("write another file");
  await id("action-reject-button").click();
  await id("action-reject-button").waitFor({ state: "detached" });
  const made = await shell("ls", await workingDir());
  if (!/allowed/.test(made) || /forbidden/.test(made)) throw new Error(`there are: ${made}`);
});

await end();
