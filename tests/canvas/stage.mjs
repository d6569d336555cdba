// What the flow plays on: a server of one process, a scripted model, Agent Canvas as its own launcher serves it, and a browser
// that is watched. All of it listens on loopback, lives in a folder of its own, and ends with the flow.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const here = import.meta.dirname;
const debug = join(here, "../../target/debug");
const binary = (name, variable) => process.env[variable] ?? join(debug, name);
const chrome = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
const KEY = "key-of-the-canvas-test";
const PROXIED = ["/api", "/sockets", "/server_info", "/alive", "/health", "/ready", "/docs", "/redoc", "/openapi.json"];

// What may fail without anything being wrong; the reasons are in the README.
const EXPECTED = [
  /\/api\/automation\//, // a service of its own, which is not there
  /\/api\/llm\/balance/, // only some providers tell it
  /TextModel got disposed before DiffEditorWidget/, // when a diff is closed
  /Minified React error #418/,
  /net::ERR_ABORTED/, // a page was left before its answers were there
  /WebSocket is closed before the connection is established/,
];

export async function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "manyhands-canvas-"));
  const running = [];
  process.on("exit", () => running.forEach((child) => child.kill()));
  const start = async (command, args, options, sign) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    running.push(child);
    let said = "";
    return new Promise((resolve, reject) => {
      const listen = (chunk) => (said += chunk).match(sign) && resolve(said);
      child.stdout.on("data", listen);
      child.stderr.on("data", listen);
      child.on("error", reject);
      child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
    });
  };
  const env = {
    ...process.env, HOME: folder, OH_SESSION_API_KEYS_0: KEY, OH_PERSISTENCE_DIR: join(folder, "user"),
    EXTENSIONS_PATH: catalogue(folder),
  };
  const [server, ui] = [await freePort(), await freePort()];
  await start(binary("manyhands", "MANYHANDS"), ["--host", "127.0.0.1", "--port", server], { cwd: folder, env }, /is ready/);
  const model = (await start(binary("scripted-model", "SCRIPTED_MODEL"), [], {}, /\n/)).trim();
  const routes = PROXIED.flatMap((path) => ["--route", `${path}=http://127.0.0.1:${server}`]);
  const launcher = [join(here, "ui/scripts/static-server.mjs"), "--host", "127.0.0.1", "--port", ui, "--dir", join(here, "ui/build")];
  await start(process.execPath, [...launcher, "--session-api-key", KEY, ...routes], {}, /listening/);
  const browser = await chromium.launch({ executablePath: chrome, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const { page, troubles } = await openPage(browser);
  const tearDown = async () => {
    await browser.close();
    running.forEach((child) => child.removeAllListeners("exit") && child.kill());
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const api = async (method, path, body) => {
    const headers = { "X-Session-API-Key": KEY, "Content-Type": "application/json" };
    const answer = await fetch(`http://127.0.0.1:${server}${path}`, { method, headers, body: JSON.stringify(body) });
    return answer.json();
  };
  const scripts = (list) =>
    fetch(new URL("/_scripts", model), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(list),
    });
  const urls = { url: `http://127.0.0.1:${ui}`, server: `http://127.0.0.1:${server}` };
  return { page, troubles, model, ...urls, key: KEY, folder, api, scripts, tearDown };
}

// Fails in a browser that has no internet, so what comes from elsewhere is answered here, or not at all.
async function openPage(browser) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true });
  context.setDefaultTimeout(20_000);
  const elsewhere = (url) => url.hostname !== "127.0.0.1";
  await context.route(elsewhere, (route) => {
    const part = route.request().url().match(/monaco-editor@[^/]+\/(.*)/)?.[1];
    return part ? route.fulfill({ path: join(here, "node_modules/monaco-editor", part) }) : route.abort();
  });
  const page = await context.newPage();
  const troubles = [];
  const trouble = (text) => EXPECTED.some((expected) => expected.test(text)) || troubles.push(text);
  page.on("pageerror", (error) => trouble(`error in the page: ${error.message}`));
  page.on("console", (message) => {
    const url = message.location().url;
    if (message.type() === "error" && !(url && elsewhere(new URL(url)))) trouble(`console: ${message.text()} ${url}`);
  });
  page.on("requestfailed", (request) => {
    const url = new URL(request.url());
    if (!elsewhere(url)) trouble(`no answer: ${request.method()} ${url.pathname} ${request.failure()?.errorText}`);
  });
  page.on("response", async (response) => {
    if (response.status() < 400) return;
    const body = await response.text().catch(() => "");
    const { pathname } = new URL(response.url());
    trouble(`${response.status()}: ${response.request().method()} ${pathname} ${body.slice(0, 300)}`);
  });
  return { page, troubles };
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

function freePort() {
  const probe = createServer();
  return new Promise((resolve) =>
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    }),
  );
}
