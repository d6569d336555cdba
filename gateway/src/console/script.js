"use strict";
// Everything that comes from the server is shown as text: nothing of it is ever taken for markup.
const root = location.pathname.replace(/\/?$/, "/");
const byId = (id) => document.getElementById(id);
const STATUSES = ["idle", "running", "paused", "waiting_for_confirmation", "finished", "error", "stuck"];
const PAGE = 50;
const REFRESH = 5000;
const MOST_LINES = 5000;

let key = sessionStorage.getItem("manyhands-key") || "";
let conversations = new Map();
let next = null;
let cursor = 0;
let open = null;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

class Refused extends Error {}

async function call(path) {
  const headers = { accept: "application/json" };
  if (key) headers["X-Session-API-Key"] = key;
  const answer = await fetch(root + path, { headers, cache: "no-store" });
  if (answer.status === 401) throw new Refused("a key is needed");
  const body = await answer.json();
  if (!answer.ok && path !== "ready") throw new Error(typeof body.detail === "string" ? body.detail : answer.statusText);
  return body;
}

const number = (value) => new Intl.NumberFormat(undefined, { notation: value >= 1e5 ? "compact" : "standard", maximumFractionDigits: 1 }).format(value);
const dollars = (value) => (value ? "$" + value.toFixed(value < 1 ? 4 : 2) : "$0");

/// Times of conversations end in Z. Those of events have no zone: they are the server's own, and `zone` is what is missing
/// to the time of the world, in milliseconds.
let zone = 0;
const moment = (text) => (/Z|[+-]\d\d:\d\d$/.test(text) ? new Date(text) : new Date(Date.parse(text + "Z") + zone));
const QUARTER = 15 * 60 * 1000;

function ago(text) {
  const seconds = Math.max(0, (Date.now() - moment(text)) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return Math.floor(seconds / size) + " " + unit + " ago";
  }
  return Math.floor(seconds) + " s ago";
}

function totals(info) {
  const sum = { tokens: 0, cost: 0 };
  for (const metrics of Object.values(info.stats?.usage_to_metrics ?? {})) {
    const used = metrics.accumulated_token_usage ?? {};
    sum.tokens += (used.prompt_tokens ?? 0) + (used.completion_tokens ?? 0);
    sum.cost += metrics.accumulated_cost ?? 0;
  }
  return sum;
}

// What the server is.

async function showHealth() {
  const [info, ready] = await Promise.all([call("server_info"), call("ready")]);
  const up = Math.floor(info.uptime / 60);
  const text = `${ready.status === "ready" ? "ready" : ready.message || ready.status} · ${info.python_version.replace(/^none \(|\)$/g, "")} · up ${up} min`;
  byId("health").className = ready.status === "ready" ? "ready" : "initializing";
  byId("health").textContent = text + (ready.secrets ? ` · secrets: ${ready.secrets}` : "");
}

async function showOverview() {
  const count = (status) => call("api/conversations/count" + (status ? "?status=" + status : ""));
  const wanted = ["running", "waiting_for_confirmation", "error"];
  const [all, ...some] = await Promise.all([count(), ...wanted.map(count)]);
  const sums = [...conversations.values()].map(totals);
  const tokens = sums.reduce((sum, one) => sum + one.tokens, 0), cost = sums.reduce((sum, one) => sum + one.cost, 0);
  const tiles = [["conversations", number(all)], ["running", number(some[0])], ["wait for consent", number(some[1])], ["in error", number(some[2])],
    ["tokens, shown ones", number(tokens)], ["cost, shown ones", dollars(cost)]];
  byId("overview").replaceChildren(...tiles.map(([name, value]) => make("div", {}, make("strong", { textContent: value }), name)));
}

// The list.

async function load(from) {
  const status = byId("status").value;
  const query = new URLSearchParams({ limit: PAGE, sort_order: "UPDATED_AT_DESC" });
  if (status) query.set("status", status);
  if (from) query.set("page_id", from);
  const page = await call("api/conversations/search?" + query);
  if (!from) conversations = new Map();
  for (const info of page.items) conversations.set(info.id, info);
  next = page.next_page_id;
}

function shown() {
  const wanted = byId("search").value.toLowerCase();
  const text = (info) => [info.title, info.id, info.agent?.llm?.model, info.workspace?.working_dir].join(" ").toLowerCase();
  return [...conversations.values()].filter((info) => text(info).includes(wanted));
}

const fact = (text) => make("span", { textContent: text });
const chip = (status) => make("span", { className: "chip " + status, textContent: status.replaceAll("_", " ") });

function showList() {
  const items = shown();
  cursor = Math.min(cursor, Math.max(0, items.length - 1));
  byId("conversations").replaceChildren(...items.map((info, at) => {
    const sum = totals(info);
    const row = make("div", { className: "row soft" }, chip(info.execution_status), fact(ago(info.updated_at)), fact(number(sum.tokens) + " tokens"), fact(dollars(sum.cost)));
    const item = make("li", { id: "c-" + info.id, className: at === cursor ? "at" : "" }, make("b", { textContent: info.title || info.id }), row);
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(open?.id === info.id));
    item.addEventListener("click", () => { cursor = at; choose(info.id); });
    return item;
  }));
  if (items[cursor]) byId("conversations").setAttribute("aria-activedescendant", "c-" + items[cursor].id);
  byId("more").hidden = !next;
}

async function showSandboxes() {
  if (!byId("sandboxes").open) return;
  const told = await Promise.all([...conversations.keys()].map((id) => call(`api/conversations/${id}/why`).catch(() => null)));
  const sandboxes = new Map();
  for (const why of told.filter(Boolean)) {
    const seen = sandboxes.get(why.sandbox) ?? { count: 0, running: 0, why };
    sandboxes.set(why.sandbox, { count: seen.count + 1, running: seen.running + (why.status === "running"), why });
  }
  const rows = [...sandboxes].map(([name, { count, running, why }]) => make("tr", {}, ...[name ?? "none", count, running, why.epoch ?? "–", why.failure ? JSON.stringify(why.failure) : "–"].map((value) => make("td", { textContent: value }))));
  const head = make("tr", {}, ...["sandbox", "all", "running", "epoch", "failure"].map((name) => make("th", { textContent: name })));
  byId("sandboxes").lastElementChild.replaceChildren(make("table", {}, head, ...rows));
}

// One conversation.

async function choose(id) {
  open?.end();
  open = new Conversation(id);
  location.hash = id;
  showList();
  await open.begin();
}

class Conversation {
  constructor(id) {
    this.id = id;
    this.seen = new Set();
    this.steps = [];
    this.tokens = [];
    this.cost = [];
    this.over = false;
  }

  async begin() {
    const head = make("div", { id: "head" }), why = make("p", { id: "why", className: "soft" }), plots = make("div", { id: "plots" });
    const earlier = make("button", { type: "button", textContent: "Earlier events", hidden: true });
    earlier.addEventListener("click", () => this.earlier().catch(told));
    this.list = make("ol", { id: "events" });
    this.parts = { head, why, plots, earlier };
    byId("conversation").replaceChildren(head, why, plots, earlier, this.list);
    await this.about();
    await this.earlier();
    this.follow();
  }

  end() {
    this.over = true;
    this.socket?.close();
  }

  async about() {
    const [info, why] = await Promise.all([call("api/conversations/" + this.id), call(`api/conversations/${this.id}/why`)]);
    if (this.over) return;
    const facts = [info.agent?.llm?.model, info.workspace?.working_dir, "sandbox " + why.sandbox].filter(Boolean).map(fact);
    this.parts.head.replaceChildren(make("h2", { textContent: info.title || info.id }), make("div", { className: "row soft" }, chip(info.execution_status), ...facts));
    const since = why.since ? ` (since ${ago(why.since)})` : "";
    this.parts.why.textContent = why.detail + since;
    this.updated = info.updated_at;
    conversations.set(this.id, { ...conversations.get(this.id), ...info });
  }

  async earlier() {
    const query = new URLSearchParams({ limit: 100, sort_order: "TIMESTAMP_DESC" });
    if (this.page) query.set("page_id", this.page);
    const page = await call(`api/conversations/${this.id}/events/search?${query}`);
    if (this.over) return;
    if (!this.page && page.items.length) {
      zone = Math.round((Date.parse(this.updated) - Date.parse(page.items[0].timestamp + "Z")) / QUARTER) * QUARTER;
    }
    this.page = page.next_page_id;
    this.parts.earlier.hidden = !this.page;
    for (const event of page.items) {
      const shown = this.take(event);
      if (shown) this.list.prepend(shown);
    }
    this.plot();
  }

  // From now on: what was stored meanwhile is sent again, and known by its id.
  follow() {
    const address = new URL(`${root}sockets/events/${this.id}?resend_mode=since&after_timestamp=${encodeURIComponent(this.last ?? "")}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    if (!this.last) address.search = "?resend_mode=all";
    this.socket = new WebSocket(address);
    if (key) this.socket.addEventListener("open", () => this.socket.send(JSON.stringify({ type: "auth", session_api_key: key })));
    this.socket.addEventListener("message", (message) => {
      const event = JSON.parse(message.data);
      const shown = this.take(event);
      if (shown) this.list.append(shown);
      if (event.kind === "ConversationStateUpdateEvent" && event.key === "execution_status") this.about().catch(told);
      this.plot();
    });
    this.socket.addEventListener("close", (event) => {
      if (event.code === 4001) told(new Refused("a key is needed"));
      // That conversation is gone, or the key is.
      if ([4001, 4004].includes(event.code)) return;
      if (!this.over) setTimeout(() => this.over || this.follow(), 1000 + Math.random() * 2000);
    });
  }

  take(event) {
    // What is not stored has no place among the others.
    if (!event.id || event.kind === "StreamingDeltaEvent" || event.key === "full_state" || this.seen.has(event.id)) return null;
    this.seen.add(event.id);
    if (event.timestamp > (this.last ?? "")) this.last = event.timestamp;
    const at = moment(event.timestamp).getTime();
    if (event.kind === "ActionEvent") this.steps.push(at);
    if (event.kind === "ConversationStateUpdateEvent") {
      if (event.key === "stats") {
        const sum = totals({ stats: event.value });
        this.tokens.push([at, sum.tokens]);
        this.cost.push([at, sum.cost]);
      }
      return null;
    }
    return row(event);
  }

  plot() {
    if (this.drawn) return;
    this.drawn = requestAnimationFrame(() => {
      this.drawn = null;
      const steps = this.steps.sort((a, b) => a - b).map((at, count) => [at, count + 1]);
      const whole = this.page ? " (of what is shown)" : "";
      this.parts.plots.replaceChildren(chart("steps" + whole, steps, number), chart("tokens", this.tokens, number), chart("cost", this.cost, dollars));
    });
  }
}

function chart(name, points, format) {
  points = [...points].sort((a, b) => a[0] - b[0]);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const add = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([attribute, value]) => element.setAttribute(attribute, value));
    svg.append(element);
  };
  add("line", { x1: 0, y1: 39, x2: 100, y2: 39 });
  const last = points.at(-1);
  if (last) {
    const [from, until, most] = [points[0][0], last[0], Math.max(...points.map((point) => point[1]), 1e-9)];
    const x = (at) => (until > from ? ((at - from) / (until - from)) * 100 : 100), y = (value) => 38 - (value / most) * 36;
    const line = points.map(([at, value], i) => (i ? `H${x(at)}V${y(value)}` : `M${x(at)} ${y(value)}`));
    add("path", { d: line.join("") });
  }
  const caption = make("figcaption", {}, make("span", { textContent: name }), make("strong", { textContent: format(last ? last[1] : 0) }));
  return make("figure", {}, caption, svg);
}

// Events as a person reads them.

const texts = (content) => (content ?? []).map((part) => part.text ?? (part.image_urls ? `[${part.image_urls.length} images]` : "")).join("\n");
const pre = (text) => make("pre", { textContent: text });
const prose = (text) => make("p", { className: "text", textContent: text });

function row(event) {
  const [who, title, ...body] = told_of(event);
  if (!title) return null;
  const time = moment(event.timestamp);
  const item = make("li", { className: who }, make("h3", { textContent: `${title} · ${time.toLocaleTimeString()}`, title: time.toLocaleString() }), ...body);
  item.dataset.kind = event.kind;
  return item;
}

function told_of(event) {
  const action = event.action ?? {}, observation = event.observation ?? {};
  switch (event.kind) {
    case "MessageEvent": return [event.source === "user" ? "user" : "agent", event.source, prose(texts(event.llm_message?.content))];
    case "ActionEvent": return ["agent", event.tool_name, event.thought?.length ? prose(texts(event.thought)) : null, ...action_of(action)];
    case "ObservationEvent": return [observation.is_error ? "bad" : "", "result of " + event.tool_name, ...result_of(observation)];
    case "SystemPromptEvent": return ["", "system prompt", make("details", {}, make("summary", { textContent: "show" }), pre(event.system_prompt?.text ?? ""))];
    case "UserRejectObservation": return ["bad", "refused", prose(event.rejection_reason ?? "")];
    case "AgentErrorEvent": case "ConversationErrorEvent": return ["bad", event.code ? "error " + event.code : "error", prose(event.error ?? event.detail ?? "")];
    case "PauseEvent": return ["", "paused"];
    case "Condensation": return ["", "history condensed", event.summary ? prose(event.summary) : null];
    default: return ["", event.kind ?? "event", make("details", {}, make("summary", { textContent: "show" }), pre(JSON.stringify(event, null, 1)))];
  }
}

function action_of(action) {
  switch (action.kind) {
    case "TerminalAction": return [pre((action.is_input ? "> " : "$ ") + action.command)];
    case "FileEditorAction": return [prose(`${action.command} ${action.path}`)];
    case "ThinkAction": return [prose(action.thought ?? "")];
    case "FinishAction": return [prose(action.message ?? "")];
    default: return [pre(JSON.stringify({ ...action, kind: undefined }, null, 1))];
  }
}

function result_of(observation) {
  const text = texts(observation.content);
  if (observation.kind === "FinishObservation" || observation.kind === "ThinkObservation") return [];
  if (typeof observation.new_content === "string") return [diff(observation.old_content ?? "", observation.new_content)];
  const code = observation.exit_code ?? observation.metadata?.exit_code;
  return [pre(text), code ? make("p", { className: "removed", textContent: "exit code " + code }) : null];
}

/// Lines that are the same at both ends stay out but for three; what is between is the shortest way from one to the other.
function diff(before, after) {
  const old = before.split("\n"), now = after.split("\n");
  let start = 0, end = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const lines = [...old.slice(Math.max(0, start - 3), start).map((line) => [" ", line]), ...changes(old.slice(start, old.length - end), now.slice(start, now.length - end)),
    ...(end ? old.slice(old.length - end, old.length - end + 3) : []).map((line) => [" ", line])];
  const classes = { "+": "added", "-": "removed", " ": "soft" };
  const shown = make("pre");
  for (const [mark, line] of lines.slice(0, MOST_LINES)) shown.append(make("span", { className: classes[mark], textContent: mark + line + "\n" }));
  if (lines.length > MOST_LINES) shown.append(`… ${lines.length - MOST_LINES} more lines`);
  return shown;
}

function changes(old, now) {
  if (old.length * now.length > 1e6) return [...old.map((line) => ["-", line]), ...now.map((line) => ["+", line])];
  const common = Array.from({ length: old.length + 1 }, () => new Uint32Array(now.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) common[i][j] = old[i] === now[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  }
  const lines = [];
  for (let i = 0, j = 0; i < old.length || j < now.length;) {
    if (i < old.length && j < now.length && old[i] === now[j]) lines.push([" ", old[i++], j++]);
    else if (j >= now.length || (i < old.length && common[i + 1][j] >= common[i][j + 1])) lines.push(["-", old[i++]]);
    else lines.push(["+", now[j++]]);
  }
  return lines;
}

// Keys, and the heart of it.

function told(error) {
  if (error instanceof Refused) {
    if (!byId("ask").open) byId("ask").showModal();
    return;
  }
  byId("health").className = "away";
  byId("health").textContent = "the server does not answer: " + error.message;
}

let refreshing = false;
async function refresh() {
  if (document.hidden || refreshing || byId("ask").open) return;
  refreshing = true;
  try {
    await showHealth();
    if (conversations.size <= PAGE) await load(null);
    showList();
    await Promise.all([showOverview(), showSandboxes()]);
  } catch (error) {
    told(error);
  } finally {
    refreshing = false;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("ask").open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing && event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const items = shown();
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step && (event.key.length === 1 || typing || document.activeElement === byId("conversations"))) {
    cursor = Math.min(Math.max(cursor + step, 0), Math.max(items.length - 1, 0));
    showList();
    document.querySelector("#conversations .at")?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && items[cursor] && !event.target.matches("button, summary, a")) {
    choose(items[cursor].id).catch(told);
    byId("conversation").focus();
  } else if (event.key === "/") {
    byId("search").focus();
  } else if (event.key === "e") {
    byId("conversation").lastElementChild?.lastElementChild?.scrollIntoView();
  } else {
    return;
  }
  event.preventDefault();
});

byId("ask").addEventListener("close", () => {
  const given = byId("secret").value;
  byId("secret").value = "";
  // Escape closes it as well.
  if (!given) return;
  key = given;
  sessionStorage.setItem("manyhands-key", key);
  refresh().then(() => open && choose(open.id).catch(told));
});
byId("key").addEventListener("click", () => byId("ask").showModal());
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("search").addEventListener("input", () => { cursor = 0; showList(); });
byId("status").append(make("option", { value: "", textContent: "any status" }), ...STATUSES.map((status) => make("option", { value: status, textContent: status.replaceAll("_", " ") })));
byId("status").addEventListener("change", () => { cursor = 0; conversations = new Map(); refresh(); });
byId("more").addEventListener("click", () => load(next).then(showList).catch(told));
byId("sandboxes").addEventListener("toggle", () => showSandboxes().catch(told));
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, REFRESH);
refresh().then(() => {
  const wanted = location.hash.slice(1);
  if (/^[0-9a-f-]{32,36}$/.test(wanted)) choose(wanted).catch(told);
});
