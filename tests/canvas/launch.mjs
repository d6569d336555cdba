// User interface and server in one program (`--static-dir`, `--ticket`): each step is a promise, done through the page.
// `npm run launch`; the README says what it needs. Screenshots are in `screenshots/`.
import assert from "node:assert/strict";
import { onboarding } from "./onboarding.mjs";
import { setUp } from "./stage.mjs";
import { steps } from "./steps.mjs";

const stage = await setUp({ isOneProgram: true });
const { page, model, url, link, key, scripts } = stage;
const { step, end } = steps(stage, "launch");
const { consents, keepsModel, starts } = onboarding(page, model);
const id = (name) => page.getByTestId(name);
const shown = (text) => page.getByText(text).first().waitFor();

const call = (name, args) => ({ tool_calls: [{ id: `call-${Math.random()}`, name, arguments: args }], input_tokens: 1200, output_tokens: 80 });
await scripts([
  { marker: "Count the words", turns: [
    call("terminal", { command: "git init -q . && ls -A", summary: "Look at what is here" }),
    call("terminal", { command: "printf 'def count(text):\\n    return len(text.split())\\n' > words.py", summary: "Write the function" }),
    call("terminal", { command: "python3 -c 'import words; print(words.count(\"a few words of a text\"))'", summary: "Try it" }),
    { text: "`words.py` has a function `count`; for *a few words of a text* it says **6**." },
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
  await id("right-panel-toggle").waitFor();
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
