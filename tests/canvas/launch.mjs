// User interface and server in one program (`--static-dir`, `--ticket`): each step is a promise, done through the page.
// `npm run launch`; the README says what it needs. Screenshots are in `screenshots/`.
import assert from "node:assert/strict";
import { onboarding } from "./onboarding.mjs";
import { setUp } from "./stage.mjs";
import { steps } from "./steps.mjs";

const stage = await setUp({ isOneProgram: true });
const { page, model, url, link, key, api, scripts } = stage;
const { step, end } = steps(stage, "launch");
const { consents, keepsModel, starts } = onboarding(page, model);
const id = (name) => page.getByTestId(name);
const shown = (text) => page.getByText(text).first().waitFor();

const call = (name, args) => ({ tool_calls: [{ id: `call-${Math.random()}`, name, arguments: args }], input_tokens: 1200, output_tokens: 80 });
const git = "git -c user.name=a -c user.email=a@b";
await scripts([
  { marker: "Count the words", turns: [
    call("terminal", { command: `git init -q . && printf 'def count(text):\\n    return len(text)\\n' > words.py && git add . && ${git} commit -qm 'Count letters' && ls` }),
    call("terminal", { command: "sed -i 's/len(text)/len(text.split())/' words.py" }),
    call("terminal", { command: "python3 -B -c 'import words; print(words.count(\"a few words of a text\"))'" }),
    { text: "`count` in `words.py` counted letters. It counts words now: for *a few words of a text* it says **6**." },
  ] },
]);

await step("the address opens the user interface and nobody is asked for a key", async () => {
  await page.goto(link ?? url, { waitUntil: "commit" });
  await consents();
  assert.equal(new URL(page.url()).hash, "");
});

await step("a conversation runs on the same server", async () => {
  await keepsModel();
  await starts("Count the words of a text in Python, please");
  await shown("it says");
});

await step("a reload opens the same conversation", async () => {
  const before = page.url();
  await page.reload({ waitUntil: "commit" });
  await shown("it says");
  assert.equal(page.url(), before);
});

await step("what has changed is shown beside what was said", async () => {
  const [, conversation] = page.url().match(/conversations\/([0-9a-f-]{36})/);
  await api("PATCH", `/api/conversations/${conversation}`, { title: "Count words" });
  await page.reload({ waitUntil: "commit" });
  await id("conversation-name").getByText("Count words").waitFor();
  await page.getByText("3 actions completed").click();
  await id("right-panel-toggle").click();
  await id("conversation-tab-commits").click();
  await id("uncommitted-changes-row-toggle").click();
  await page.getByTestId("collapse").last().click();
  await page.locator(".monaco-diff-editor .view-line").getByText("split").first().waitFor({ timeout: 60_000 });
});

if (key) await step("the link is good once and without it the page asks for the key", async () => {
  const other = await (await page.context().browser().newContext()).newPage();
  await other.goto(link, { waitUntil: "commit" });
  const next = other.getByTestId("onboarding-backend-next");
  await next.waitFor();
  assert.ok(await next.isDisabled());
  await other.getByTestId("onboarding-backend-api-key").fill(key);
  await next.click();
  await other.getByTestId("onboarding-agent-next").click();
  await other.close();
});

await end();
