"use strict";
// Everything that comes from the server is shown as text: nothing of it is ever taken for markup.
const root = location.pathname.replace(/\/?$/, "/");
const byId = (id) => document.getElementById(id);
const STATUSES = ["idle", "running", "paused", "waiting_for_confirmation", "finished", "error", "stuck"];
const PAGE = 100;
const REFRESH = 15000;
const MOST_LINES = 5000;

/// A session key, or a bearer token: that has three parts, of which the first begins an object.
let key = sessionStorage.getItem("manyhands-key") || "";
const isToken = () => /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(key);
/// In brief, by id; `order` has their ids, those that changed last first.
let conversations = new Map();
let order = [];
let total = 0;
let most = PAGE;
/// Of the conversation that Enter would open: it stays where it is in the list, wherever that goes.
let at = null;
let open = null;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

class Refused extends Error {}

async function call(path) {
  const headers = { accept: "application/json" };
  if (key) Object.assign(headers, isToken() ? { authorization: "Bearer " + key } : { "X-Session-API-Key": key });
  const answer = await fetch(root + path, { headers, cache: "no-store" });
  if (answer.status === 401) throw new Refused("a key or token is needed");
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

/// Opens a socket and says there who asks; what it tells goes to `take`.
function socket(path, take, closed) {
  const address = new URL(root + path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = new WebSocket(address);
  if (key) opened.addEventListener("open", () => opened.send(JSON.stringify({ type: "auth", [isToken() ? "token" : "session_api_key"]: key })));
  opened.addEventListener("message", (message) => take(JSON.parse(message.data)));
  opened.addEventListener("close", (event) => {
    if (event.code === 4001) told(new Refused("a key or token is needed"));
    closed(event.code);
  });
  return opened;
}

const soon = () => 1000 + Math.random() * 2000;

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

function showOverview() {
  const all = [...conversations.values()];
  const count = (status) => all.filter((info) => info.execution_status === status).length;
  const sum = (of) => all.reduce((sum, info) => sum + of(info), 0);
  const sums = [["running", number(count("running"))], ["wait for consent", number(count("waiting_for_confirmation"))],
    ["in error", number(count("error"))], ["tokens", number(sum(tokens))], ["cost", dollars(sum((info) => info.cost))]];
  const of = total > all.length ? " (of those listed)" : "";
  const tiles = [["conversations", number(Math.max(total, all.length))], ...sums.map(([name, value]) => [name + of, value])];
  byId("overview").replaceChildren(...tiles.map(([name, value]) => make("div", {}, make("strong", { textContent: value }), name)));
}

// The list: the server tells what becomes of it.

const tokens = (info) => info.prompt_tokens + info.completion_tokens;
let stream = null, cursor = "", waiting = 0;
/// The list that is being told; where there was one before, that is shown until this one is complete.
let coming = conversations;

function follow() {
  clearTimeout(waiting);
  stream?.close();
  const own = socket("sockets/conversations" + (cursor ? "?cursor=" + cursor : ""), (news) => own === stream && heard(news), (code) => {
    if (own !== stream) return;
    byId("stale").hidden = false;
    if (code !== 4001) waiting = setTimeout(follow, soon());
  });
  stream = own;
}

function heard(news) {
  switch (news.type) {
    case "reset": coming = conversations.size ? new Map() : conversations; total = news.total; break;
    case "listed": news.conversations.forEach((info) => coming.set(info.id, info)); break;
    case "ready": conversations = coming; // fall through
    case "resumed": byId("stale").hidden = true; break;
    case "created": total++; // fall through
    case "changed": conversations.set(news.conversation.id, news.conversation); break;
    case "deleted": total--; conversations.delete(news.conversation_id); break;
  }
  cursor = news.cursor ?? cursor;
  if (news.conversation && news.conversation.id === open?.id) open.changed(news.conversation);
  if (news.type === "deleted" && news.conversation_id === open?.id) open.parts.why.textContent = "This conversation was deleted.";
  show();
}

let drawn = 0;
function show() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    order = [...conversations.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1)).map((info) => info.id);
    showList();
    showOverview();
  });
}

function shown() {
  const wanted = byId("search").value.toLowerCase(), status = byId("status").value;
  const text = (info) => [info.title, info.id, info.model, info.working_dir].join(" ").toLowerCase();
  const fits = (info) => info && (!status || info.execution_status === status) && text(info).includes(wanted);
  return order.map((id) => conversations.get(id)).filter(fits);
}

const fact = (text) => make("span", { textContent: text });
const chip = (status) => make("span", { className: "chip " + status, textContent: status.replaceAll("_", " ") });

function item(id) {
  const item = make("li", { id: "c-" + id });
  item.setAttribute("role", "option");
  item.addEventListener("click", () => { at = id; choose(id).catch(told); });
  return item;
}

/// Items stay the same ones, so that what is pointed at, or read aloud, is not made anew under it.
function showList() {
  const all = shown(), items = all.slice(0, most), list = byId("conversations");
  if (!items.some((info) => info.id === at)) at = items[0]?.id ?? null;
  const gone = new Map([...list.children].map((element) => [element.id, element]));
  items.forEach((info, place) => {
    const element = gone.get("c-" + info.id) ?? item(info.id);
    gone.delete(element.id);
    const text = [ago(info.updated_at), number(tokens(info)) + " tokens", dollars(info.cost)];
    const says = JSON.stringify([info.title, info.execution_status, text]);
    if (element.dataset.says !== says) {
      element.replaceChildren(make("b", { textContent: info.title || info.id }), make("div", { className: "row soft" }, chip(info.execution_status), ...text.map(fact)));
      element.dataset.says = says;
    }
    element.className = info.id === at ? "at" : "";
    element.setAttribute("aria-selected", String(open?.id === info.id));
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
  });
  gone.forEach((element) => element.remove());
  if (at) list.setAttribute("aria-activedescendant", "c-" + at);
  else list.removeAttribute("aria-activedescendant");
  byId("more").hidden = all.length <= most;
}

async function showSandboxes() {
  if (!byId("sandboxes").open) return;
  const told = await Promise.all(order.slice(0, PAGE).map((id) => call(`api/conversations/${id}/why`).catch(() => null)));
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
    this.status = info.execution_status;
  }

  changed(info) {
    if (info.execution_status !== this.status) this.about().catch(told);
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

  // From now on: what was stored meanwhile is sent again, and known by its id. Another may have been chosen meanwhile.
  follow() {
    if (this.over) return;
    const from = this.last ? `resend_mode=since&after_timestamp=${encodeURIComponent(this.last)}` : "resend_mode=all";
    this.socket = socket(`sockets/events/${this.id}?${from}`, (event) => {
      const shown = this.take(event);
      if (shown) this.list.append(shown);
      if (event.kind === "ConversationStateUpdateEvent" && event.key === "execution_status") this.about().catch(told);
      this.plot();
    }, (code) => {
      // That conversation is gone, or the key is.
      if (![4001, 4004].includes(code)) setTimeout(() => this.follow(), soon());
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
    show();
    await showSandboxes();
  } catch (error) {
    told(error);
  } finally {
    refreshing = false;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("ask").open) return;
  // It has keys of its own.
  if (event.target.matches("select") && event.key !== "Escape") return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing && !["ArrowDown", "ArrowUp", "Enter"].includes(event.key)) return;
  const items = shown().slice(0, most), place = items.findIndex((info) => info.id === at);
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (step && (event.key.length === 1 || typing || document.activeElement === byId("conversations"))) {
    at = items[Math.min(Math.max(place + step, 0), items.length - 1)]?.id ?? null;
    showList();
    document.querySelector("#conversations .at")?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "Enter" && at && !event.target.matches("button, summary, a")) {
    choose(at).catch(told);
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
  begin();
});
byId("key").addEventListener("click", () => byId("ask").showModal());
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("search").addEventListener("input", () => { at = null; showList(); });
byId("status").append(make("option", { value: "", textContent: "any status" }), ...STATUSES.map((status) => make("option", { value: status, textContent: status.replaceAll("_", " ") })));
byId("status").addEventListener("change", () => { at = null; showList(); });
byId("more").addEventListener("click", () => { most += PAGE; showList(); });
byId("sandboxes").addEventListener("toggle", () => showSandboxes().catch(told));
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, REFRESH);

/// A link from the terminal has a ticket, which is exchanged for the key once.
async function redeem() {
  const ticket = /^#ticket=([0-9a-f]+)$/.exec(location.hash)?.[1];
  if (!ticket) return;
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch(root + "ticket", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ticket }) });
  if (!answer.ok) return;
  key = (await answer.json()).session_api_key;
  sessionStorage.setItem("manyhands-key", key);
}

/// Nothing is asked for before it is known whether it would be answered: whose key is wrong is asked once.
async function begin() {
  try {
    await call("api/conversations/count");
  } catch (error) {
    if (!(error instanceof Refused)) setTimeout(begin, soon());
    return told(error);
  }
  follow();
  refresh();
  const wanted = open?.id ?? location.hash.slice(1);
  if (/^[0-9a-f-]{32,36}$/.test(wanted)) choose(wanted).catch(told);
}

redeem().catch(told).then(begin);
