// Asks the server that it came from, and shows what it says. Whatever comes from a person or a model becomes
// text of a node, never HTML.

const PAUSE = 250; // milliseconds without a key before models are asked
const SHOWN = 6; // words of a kind
const DOCUMENTS = 4;
const LONGEST = 60; // characters of a word, or of several that were left out together
const TAGS = 8; // labels of a document
const LEAST = 0.0005; // of a score: what is smaller is not seen in three digits

const $ = (id) => document.getElementById(id);
const text = $("text");
const answers = $("answers");
const models = new Map(); // by id: {article, list, labels, explained}
let asking = null; // what ends the questions about a text that has changed
let open = null; // the label whose reasons are shown: {button, panel}
let waiting = 0;

// ------------------------------------------------------------------------------------------ the server

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, question, signal) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { headers, signal };
  if (question) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(question) });
  }
  let answer, said;
  try {
    answer = await fetch(path, options);
    said = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer.");
  }
  if (answer.ok) return said;
  if (answer.status === 401) wantToken();
  throw new Problem(answer.status, said.detail);
}

// ------------------------------------------------------------------------------------------ its token

function wantToken() {
  $("wrong").textContent = sessionStorage.getItem("token") ? "The server has another token." : "";
  sessionStorage.removeItem("token");
  $("entry").hidden = false;
  $("token").focus();
}

$("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("wrong").textContent = "";
  if (/[^\x20-\x7e]/.test(token)) {  // which no header can hold, nor any token of a server
    $("wrong").textContent = "The server has another token.";
    return;
  }
  sessionStorage.setItem("token", token);
  $("entry").hidden = true;
  begin();
});

// ------------------------------------------------------------------------------------------ nodes

function node(tag, className, content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function bar(share, against) {
  const made = node("span", against ? "bar against" : "bar");
  made.setAttribute("aria-hidden", "true");
  made.style.setProperty("--share", Math.min(Math.max(share, 0), 1));
  return made;
}

const plain = (value, digits) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
const signed = (value, digits) => (value < 0 ? "" : "+") + plain(value, digits);

function short(content) {
  const points = Array.from(content.trim().replace(/\s+/g, " "));
  if (points.length <= LONGEST) return points.join("");
  return `${points.slice(0, LONGEST / 2 - 1).join("")} … ${points.slice(1 - LONGEST / 2).join("")}`;
}

function rows(items, digits, kind = "word") {
  const list = node("ul", "rows");
  const most = Math.max(...items.map((one) => Math.abs(one.value)), 1e-9);
  for (const one of items) {
    const row = node("li");
    row.append(
      node("span", kind, short(one.text)),
      bar(Math.abs(one.value) / most, one.value < 0),
      node("span", "number", signed(one.value, digits)),
    );
    list.append(row);
  }
  return list;
}

function strongest(items, least) {
  const seen = items.filter((one) => Math.abs(one.value) >= least);
  return seen.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, SHOWN);
}

// ------------------------------------------------------------------------------------------ labels

async function begin() {
  try {
    const found = await ask("models");
    for (const one of found.models) addModel(one);
    answers.parentElement.classList.toggle("several", models.size > 1);
    if (!$("entry").hidden) return;
    text.focus();
    changed();
  } catch (error) {
    if (error.status !== 401) $("down").textContent = error.message;
  }
}

function addModel({ id, labels }) {
  if (models.has(id)) return;
  const article = $("of-model").content.firstElementChild.cloneNode(true);
  const [heading, list] = article.children;
  heading.append(node("span", "", id), node("small", "", `${labels.toLocaleString("en")} labels`));
  article.setAttribute("aria-label", id);
  models.set(id, { article, list, labels: [] });
}

function changed() {
  close();
  asking?.abort();
  asking = new AbortController();
  clearTimeout(waiting);
  fit();
  const there = text.value.trim() !== "";
  $("hint").hidden = there;
  for (const { article, list } of models.values()) {
    article.setAttribute("aria-busy", "true");
    list.inert = true; // these are labels of another text
    if (!there) article.remove();
  }
  $("status").textContent = "";
  if (there) waiting = setTimeout(askAll, PAUSE, asking.signal);
}

async function askAll(signal) {
  const told = await Promise.all([...models.keys()].map((id) => predict(id, signal)));
  if (!signal.aborted) $("status").textContent = told.join("; ");
}

async function predict(id, signal) {
  const model = models.get(id);
  const question = { texts: text.value, model: id, top_k: Number($("count").value) };
  let said;
  try {
    const { results } = await ask("predict", question, signal);
    model.labels = results[0].labels;
    model.explained = null;
    model.list.replaceChildren(...model.labels.map((label) => labelled(id, label, signal)));
    if (!model.labels.length) model.list.append(node("li", "none", "No label."));
    const [best] = model.labels;
    const count = `${model.labels.length} labels`;
    said = best ? `${count}, first ${best.name}, ${best.score.toFixed(2)}` : "no labels";
  } catch (error) {
    if (error.name === "AbortError") return "";
    model.labels = [];
    model.list.replaceChildren(node("li", "failed", error.message));
    said = error.message;
  }
  model.article.setAttribute("aria-busy", "false");
  model.list.inert = false;
  show(id);
  return models.size > 1 ? `${id}: ${said}` : said;
}

function show(id) {
  const { article } = models.get(id);
  if (article.isConnected) return;
  const order = [...models.keys()];
  const later = order.slice(order.indexOf(id) + 1).map((other) => models.get(other).article);
  answers.insertBefore(article, later.find((other) => other.isConnected) ?? null);
}

let count = 0;

function labelled(id, label, signal) {
  const item = $("of-label").content.firstElementChild.cloneNode(true);
  const [button, panel] = item.children;
  const [name, score, share] = button.children;
  name.textContent = label.name;
  score.textContent = label.score.toFixed(2);
  share.style.setProperty("--share", label.score);
  button.title = label.label;
  panel.id = `why-${++count}`;
  panel.setAttribute("aria-label", `Why ${label.name}`);
  button.setAttribute("aria-controls", panel.id);
  button.addEventListener("click", () => {
    if (open?.button === button) close();
    else tell(id, label, button, panel, signal);
  });
  return item;
}

// ------------------------------------------------------------------------------------------ why

function close() {
  if (!open) return;
  open.button.setAttribute("aria-expanded", "false");
  open.panel.hidden = true;
  open = null;
  $("marks").replaceChildren();
  $("legend").hidden = true;
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !open) return;
  const { button } = open;
  close();
  button.focus();
});

async function tell(id, label, button, panel, signal) {
  close();
  const mine = (open = { button, panel });
  button.setAttribute("aria-expanded", "true");
  panel.hidden = false;
  const model = models.get(id);
  panel.replaceChildren(node("p", "", "The model reads the text without each word …"));
  panel.setAttribute("aria-busy", "true");
  const ids = model.labels.map((one) => one.label);
  const question = { text: text.value, model: id, labels: ids };
  try {
    model.explained ??= ask("explain", question, signal);
    const found = (await model.explained).labels.find((one) => one.label === label.label);
    if (!found) throw new Problem(0, "The model did not find this label again.");
    panel.replaceChildren(...reasons(found));
    if (open === mine) {
      mark(found);
      $("status").textContent = spoken(found);
    }
  } catch (error) {
    model.explained = null; // open it again to ask again
    if (error.name === "AbortError") return;
    panel.replaceChildren(node("p", "failed", error.message));
    if (open === mine) $("status").textContent = error.message;
    if (error.status !== 422) panel.append(again(id, label, button, panel, signal));
  } finally {
    panel.removeAttribute("aria-busy");
  }
}

function again(id, label, button, panel, signal) {
  const made = node("button", "", "Ask again");
  made.addEventListener("click", () => tell(id, label, button, panel, signal));
  return made;
}

const falls = (list) => list.map((one) => ({ text: one.text, value: one.fall }));
const added = (list) => list.map((one) => ({ text: one.text, value: one.adds }));

function spoken({ name, why }) {
  const first = strongest(falls(why.falls), LEAST).filter((one) => one.value > 0);
  const words = first.slice(0, 3).map((one) => `${one.text} ${one.value.toFixed(2)}`);
  return words.length ? `${name} falls without: ${words.join(", ")}` : `${name}: no single word counts`;
}

function reasons({ name, why }) {
  const lost = strongest(falls(why.falls), LEAST);
  const none = node("p", "", "No single word counts: the model says so of any text.");
  const left = section("What each word brings to the score", lost.length ? rows(lost, 3) : none);
  const members = why.parts.filter((one) => one.adds !== null);
  if (!members.length) return [beside(left, ...why.parts.flatMap(bag)), ...why.parts.flatMap((one) => votes(one, name))];
  const items = members.map((one) => ({ text: one.member, value: one.adds }));
  const summed = why.rest === null;
  if (!summed) items.push({ text: "its frequency, and the rest", value: why.rest });
  const whole = summed ? "the mean of their scores" : "its logit";
  const shares = section(`What members of the ensemble add to ${whole}`, rows(items, 2, "member"));
  return [beside(left, shares), ...members.map((one) => ofMember(one, name)).filter(Boolean)];
}

function section(title, ...content) {
  const made = node("section");
  made.append(node("h3", "", title), ...content);
  return made;
}

function beside(...sections) {
  const made = node("div", "beside");
  made.append(...sections);
  return made;
}

function ofMember(member, name) {
  const lost = strongest(falls(member.falls), 0.005);
  const words = lost.length ? [section("What each word brings to it", rows(lost, 2))] : [];
  const inside = member.silent
    ? [node("p", "", `It can’t be explained: ${member.silent}.`)]
    : [...words, ...bag(member), ...votes(member, name)];
  if (!inside.length) return null;
  const made = node("details");
  made.append(node("summary", "", member.member), beside(...inside));
  return made;
}

function bag(part) {
  if (part.by_words === null || !part.words.length) return [];
  const rest = part.logit - part.by_words - part.by_votes;
  const sums = [`${signed(part.by_words, 2)} by words`, `${signed(part.by_votes, 2)} by votes`];
  const total = `${plain(part.logit, 2)} in all: ${sums.join(", ")}, ${signed(rest, 2)} by the rest`;
  const words = rows(strongest(added(part.words), LEAST), 2);
  return [section("What words in its bag add to the logit", words, node("p", "", total))];
}

function votes(part, name) {
  if (!part.documents.length) return [];
  const list = node("ul", "documents");
  for (const one of part.documents.slice(0, DOCUMENTS)) {
    const item = node("li");
    const share = node("span", "number", `${Math.round(100 * one.share)} %`);
    share.append(node("small", "", "of votes"));
    const tags = node("span", "tags");
    tags.append(node("b", "", name));
    const others = one.labels.filter((label) => label !== name);
    for (const label of others.slice(0, TAGS - 1)) tags.append("\u00a0· ", label);
    if (others.length >= TAGS) tags.append(" and more"); // how many is not known: the server tells the first
    tags.append(node("small", "", `document ${one.place}, likeness ${one.likeness.toFixed(2)}`));
    item.append(share, tags);
    list.append(item);
  }
  return [section("Training documents that vote for it", list)];
}

// ------------------------------------------------------------------------------------------ in the text

function mark({ name, why }) {
  const points = Array.from(text.value); // the server counts code points
  const most = Math.max(...why.falls.map((one) => Math.abs(one.fall)), LEAST);
  const parts = [];
  let from = 0;
  for (const one of why.falls) {
    const strength = Math.abs(one.fall) / most;
    if (Math.abs(one.fall) < LEAST || strength < 0.04) continue;
    const made = node("mark", one.fall < 0 ? "against" : "for", points.slice(one.begin, one.end).join(""));
    made.style.setProperty("--strength", Math.sqrt(strength).toFixed(3));
    parts.push(points.slice(from, one.begin).join(""), made);
    from = one.end;
  }
  $("marks").replaceChildren(...parts, `${points.slice(from).join("")}\n`);
  $("legend-of").textContent = name;
  $("legend").hidden = false;
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
}

text.addEventListener("input", changed);
$("count").addEventListener("change", changed);
addEventListener("resize", fit);
begin();
