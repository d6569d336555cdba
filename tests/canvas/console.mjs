// The server's own console in a browser: each step is a promise. `npm run console`; the README says what it needs.
// Screenshots are in `screenshots/`.
import assert from "node:assert/strict";
import { setUp } from "./stage.mjs";
import { steps } from "./steps.mjs";

const stage = await setUp();
const { page, troubles, model, server, key, api, shell, scripts } = stage;
const { step, end } = steps(stage, "console");

const call = (name, args) => ({ tool_calls: [{ id: `call-${Math.random()}`, name, arguments: args }], input_tokens: 1000, output_tokens: 50 });
const workspace = (await shell("mktemp -d")).trim();
const file = `${workspace}/a.txt`;
const MARKUP = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;
await scripts([
  { marker: "[[work]]", turns: [
    call("terminal", { command: "echo printed; exit_code() { return 3; }; exit_code" }),
    call("file_editor", { command: "create", path: file, file_text: "one\ntwo\nthree\n" }),
    call("file_editor", { command: "str_replace", path: file, old_str: "two", new_str: "zwei" }),
    call("finish", { message: `All of it is done. ${MARKUP}` }),
    call("finish", { message: "And more." }),
  ] },
  { marker: "[[more]]", turns: [call("finish", { message: "And more." })] },
  { marker: "[[ask]]", turns: [call("terminal", { command: "true" }), call("finish", { message: "Asked." })] },
]);
const create = (text, more) => api("POST", "/api/conversations", {
  agent: { kind: "Agent", llm: { model: "openai/scripted", api_key: "k", base_url: model, usage_id: "agent" },
    tools: [{ name: "terminal", params: {} }, { name: "file_editor", params: {} }] },
  workspace: { kind: "LocalWorkspace", working_dir: workspace },
  initial_message: { role: "user", content: [{ type: "text", text }], run: true }, ...more,
});
const events = page.locator("#events > li");
const shown = (text) => page.locator("#conversation").getByText(text).first().waitFor();
const enter = async (secret) => {
  await page.locator("#ask[open]").waitFor();
  await page.fill("#secret", secret);
  await page.keyboard.press("Enter");
};
const made = await create("[[work]] go");

await step("who asks for no page is told what the server is", async () => {
  const answer = await fetch(server, { headers: { accept: "*/*" } });
  assert.equal((await answer.json()).version, "1.58.2");
});

if (key) await step("a wrong key is asked for again", async () => {
  await page.goto(server);
  await enter("wrong");
  await enter(key);
  await page.locator("#conversations li").first().waitFor();
  assert.ok(troubles.every((line) => line.includes("401")), troubles.join());
  troubles.length = 0;
});

if (!key) await step("where there are no keys nobody is asked for one", async () => {
  await page.goto(server);
  await page.locator("#conversations li").first().waitFor();
  assert.equal(await page.locator("#ask[open]").count(), 0);
});

await step("a run can be read with its output its diff and its end", async () => {
  await page.locator("#conversations").focus();
  await page.keyboard.press("Enter");
  await shown("All of it is done.");
  await page.locator("#head .chip.finished").waitFor();
  await shown("$ echo printed");
  await shown("exit code 3");
  assert.deepEqual(await page.locator("#events .added").allInnerTexts().then((lines) => lines.map((line) => line.trim()).filter((line) => line === "+zwei")), ["+zwei"]);
  assert.match(await page.locator("figure", { hasText: "steps" }).innerText(), /4/);
});

await step("what an agent has written is text", async () => {
  await shown(MARKUP);
  assert.equal(await page.title(), "Manyhands");
  assert.equal(await page.locator("#conversation img, #conversation script").count(), 0);
});

await step("what comes later comes by itself and once", async () => {
  const before = await events.count();
  await api("POST", `/api/conversations/${made.id}/events`, { role: "user", content: [{ type: "text", text: "More, please" }], run: true });
  await shown("And more.");
  assert.equal(await events.count(), before + 3);
});

await step("a reload opens the same conversation", async () => {
  const before = await events.count();
  await page.reload();
  await shown("And more.");
  assert.equal(await events.count(), before);
});

await step("it says why a conversation waits", async () => {
  const asked = await create("[[ask]] first", { confirmation_policy: { kind: "AlwaysConfirm" } });
  await page.goto(`${server}/#${asked.id}`);
  await page.reload();
  await page.locator("#head .chip.waiting_for_confirmation").waitFor();
  assert.match(await page.locator("#why").innerText(), /consent/);
});

await step("it can be used without a mouse", async () => {
  await page.locator("body").press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.type(made.id.slice(0, 8));
  assert.equal(await page.locator("#conversations li").count(), 1);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Enter");
  await shown("All of it is done.");
});

await step("the list tells of what comes and keeps its place", async () => {
  await page.fill("#search", "");
  const list = page.locator("#conversations");
  await list.focus();
  await page.locator(`#c-${made.id}`).click();
  await list.focus();
  const later = await create("[[more]] later");
  await page.locator(`#c-${later.id}`).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "conversations");
  assert.equal(await list.getAttribute("aria-activedescendant"), `c-${made.id}`);
  await page.locator(`#c-${later.id} .chip.finished`).waitFor();
  await api("DELETE", `/api/conversations/${later.id}`);
  await page.locator(`#c-${later.id}`).waitFor({ state: "detached" });
});

await step("a conversation that is left before it is shown is not followed", async () => {
  const [left, kept] = [await create("[[more]] left"), await create("[[more]] kept")];
  await Promise.all([left, kept].map(({ id }) => page.locator(`#c-${id} .chip.finished`).waitFor()));
  const followed = new Set();
  page.on("websocket", (socket) => followed.add(socket));
  const [follows] = await Promise.all([
    page.waitForEvent("websocket", (socket) => socket.url().includes(kept.id)),
    page.waitForResponse((answer) => answer.url().includes(`${left.id}/events/search`)).then((answer) => answer.finished()),
    page.evaluate((ids) => ids.forEach((id) => document.getElementById(`c-${id}`).click()), [left.id, kept.id]),
  ]);
  await page.locator("#events > li").first().waitFor();
  assert.deepEqual([...followed].map((socket) => socket.url()), [follows.url()]);
});

await step("the choice of a status has its own keys", async () => {
  await page.locator("#status").focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator("#status").inputValue(), "idle");
  await page.selectOption("#status", "");
});

await step("it fits a narrow screen in the dark", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 380, height: 800 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
});

await end();
