// The server that a flow plays on, and the programs beside it: started in a folder of its own, or one that runs already.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inTurns } from "../typescript/turns.mjs";

const debug = join(import.meta.dirname, "../../target/debug");
const MANYHANDS = process.env.MANYHANDS ?? join(debug, "manyhands");
const SCRIPTED_MODEL = process.env.SCRIPTED_MODEL ?? join(debug, "scripted-model");

const running = [];
process.on("exit", endPrograms);

export function endPrograms() {
  running.splice(0).forEach((child) => child.removeAllListeners("exit") && child.kill());
}

// What the program has said when it said `sign`.
export function start(command, args, options, sign) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  running.push(child);
  let said = "";
  return new Promise((resolve, reject) => {
    const listen = (chunk) => sign.test((said += chunk)) && resolve(said);
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
  });
}

// The address and key of the servers that the environment names; requests go to several of them in turns.
export async function runningServer() {
  const urls = process.env.MANYHANDS_URL?.split(",");
  if (!urls) return null;
  const url = urls.length > 1 ? (await inTurns(urls)).url : urls[0];
  return { url, key: process.env.MANYHANDS_KEY ?? "" };
}

// A server of one process. With `ui` it shows the interface in that folder, and where it has a key, `link` opens that with the key in it.
export async function ownServer(folder, ui) {
  const key = process.env.MANYHANDS_KEY ?? "key-of-the-canvas-test";
  const env = { ...process.env, HOME: folder, OH_PERSISTENCE_DIR: join(folder, "user"), EXTENSIONS_PATH: catalogue(folder) };
  if (key) env.OH_SESSION_API_KEYS_0 = key;
  const args = ["--host", "127.0.0.1", "--port", "0", ...(ui ? ["--static-dir", ui] : []), ...(ui && key ? ["--ticket"] : [])];
  // A ticket is shown to a terminal alone.
  const [command, ...rest] = ui && key ? ["script", "-qfec", [MANYHANDS, ...args].join(" "), "/dev/null"] : [MANYHANDS, ...args];
  const said = await start(command, rest, { cwd: folder, env }, ui && key ? /#ticket=\w+\s/ : /docs\s+http\S+\s/);
  const [url] = said.match(/http:\/\/127\.0\.0\.1:\d+/);
  return { url, key, link: said.match(/http\S+#ticket=\w+/)?.[0] };
}

// The model as the server reaches it: MODEL_ADDRESS is an address of this machine, for servers in containers.
export async function startModel() {
  const said = await start(SCRIPTED_MODEL, [], {}, /\n/);
  const { origin, pathname } = new URL(said.trim());
  const reached = process.env.MODEL_ADDRESS ? (await inTurns([origin], process.env.MODEL_ADDRESS)).url : origin;
  return reached + pathname;
}

// A catalogue of skills and plugins with one of each, in the place of the public one.
function catalogue(folder) {
  const root = join(folder, "catalogue");
  const write = (path, text) => {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const plugin = { name: "greeter", version: "1.0.0", description: "Greets people" };
  write("plugins/greeter/.plugin/plugin.json", JSON.stringify(plugin));
  write("plugins/greeter/skills/greet/SKILL.md", "---\nname: greet\ndescription: Greets\n---\nSay hello.\n");
  const listed = [{ name: "greeter", source: "./plugins/greeter", description: plugin.description }];
  write("marketplaces/default.json", JSON.stringify({ name: "test", owner: { name: "test" }, plugins: listed }));
  return root;
}
