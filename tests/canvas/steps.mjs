// What flows are made of: each step is a promise, and fails also when the browser's console or a request has failed meanwhile.
import { mkdirSync } from "node:fs";
import { join } from "node:path";

// `SCREENSHOTS` names another folder for the pictures.
const shots = process.env.SCREENSHOTS ?? join(import.meta.dirname, "screenshots");

export function steps({ page, troubles, tearDown }, flow) {
  const failed = [];
  let done = 0;
  mkdirSync(shots, { recursive: true });
  process.on("unhandledRejection", () => {}); // what a step that has failed was still waiting for

  const shoot = (name) => page.screenshot({ path: join(shots, `${flow}-${name}.png`) }).catch(() => {});

  async function step(promise, act) {
    const began = Date.now();
    const error = await act().then(() => null, (error) => error.message.split("\n").slice(0, 3).join(" "));
    const wrong = [...(error ? [error] : []), ...troubles.splice(0)];
    await shoot(promise.replaceAll(" ", "-"));
    console.log(`${wrong.length ? "FAILED" : "ok"}  ${promise} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    wrong.forEach((line) => console.log(`        ${line}`));
    done += 1;
    if (wrong.length) failed.push(promise);
    if (failed.length && done === 1) await end(); // where the first page does not come, nothing else does
  }

  async function end() {
    await tearDown();
    console.log(`\n${done - failed.length} of ${done} promises are kept`);
    process.exit(failed.length ? 1 : 0);
  }
  return { step, shoot, end };
}
