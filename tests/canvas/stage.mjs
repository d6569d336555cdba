// What the flows play on: a server, a scripted model, Agent Canvas as its own launcher serves it, and a browser that is
// watched. All of it listens on loopback, lives in a folder of its own, and ends with the flow. The server may also be one that
// runs already, or several of a cluster.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { endPrograms, ownServer, runningServer, start, startModel } from "./server.mjs";

const here = import.meta.dirname;
const chrome = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
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

// `isOneProgram`: the server itself shows Canvas, by its `link`, and no launcher is in front of it.
export async function setUp({ isOneProgram = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "manyhands-canvas-"));
  const build = join(here, "ui/build");
  const server = isOneProgram ? await ownServer(folder, build) : ((await runningServer()) ?? (await ownServer(folder)));
  const model = await startModel();
  const url = isOneProgram ? server.url : await launcher(build, server);
  const browser = await chromium.launch({ executablePath: chrome, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const { page, troubles } = await openPage(browser);
  const tearDown = async () => {
    await browser.close();
    endPrograms();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const api = async (method, path, body) => {
    const headers = { ...(server.key && { "X-Session-API-Key": server.key }), "Content-Type": "application/json" };
    const answer = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
    return answer.json();
  };
  const scripts = (list) =>
    fetch(new URL("/_scripts", model), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(list),
    });
  // Where the server's commands run, which may be another machine.
  const shell = async (command, cwd) => (await api("POST", "/api/bash/execute_bash_command", { command, cwd })).stdout;
  const { url: origin, key, link } = server;
  return { page, troubles, model, url, server: origin, link, key, folder, api, shell, scripts, tearDown };
}

async function launcher(build, { url, key }) {
  const port = await freePort();
  const routes = PROXIED.flatMap((path) => ["--route", `${path}=${url}`]);
  const args = [join(here, "ui/scripts/static-server.mjs"), "--host", "127.0.0.1", "--port", port, "--dir", build, ...routes];
  await start(process.execPath, key ? [...args, "--session-api-key", key] : args, {}, /listening/);
  return `http://127.0.0.1:${port}`;
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

function freePort() {
  const probe = createServer();
  return new Promise((resolve) =>
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    }),
  );
}
