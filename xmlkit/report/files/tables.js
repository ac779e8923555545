// Labels and documents, a page at a time: searched, sorted, and put together as text, never as HTML.
const number = new Intl.NumberFormat("en");

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The text, with what was searched for marked. */
function marked(text, wanted) {
  if (!wanted) return [text];
  const found = [];
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return [text]; // a letter that has another length in lower case
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    found.push(text.slice(from, at), make("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...found, text.slice(from)];
}

/** A table of `count` rows of which one page is in the document at a time. */
class Browsed {
  /**
   * `columns` have a title, a `cell(row, wanted)`, and a `key(row)` where they can be sorted by; `words(row)` is
   * what is searched, `keep` are further choices, as [title, test(row)], the first of which keeps all.
   */
  constructor(place, { count, columns, words, called, size, keep = [], sort = null }) {
    Object.assign(this, { place, columns, words, called, size, keep, sort });
    this.all = Array.from({ length: count }, (_, row) => row);
    this.found = this.all;
    this.page = 0;
    this.wanted = "";
    this.lower = [];
    this.only = null;
    this.build();
    this.look();
  }

  build() {
    const { place, called } = this;
    this.search = make("input", { type: "search", autocomplete: "off", spellcheck: "false",
      oninput: () => { clearTimeout(this.waits); this.waits = setTimeout(() => this.look(), 120); } });
    this.choice = make("select", { onchange: () => this.look() },
      ...this.keep.map(([title], at) => make("option", { value: at }, title)));
    this.chip = make("p", { class: "only", hidden: true });
    const tools = make("div", { class: "tools", role: "search", "aria-label": called },
      make("label", { class: "search" }, `Search ${called}`, this.search));
    if (this.keep.length) tools.append(make("label", {}, "Show", this.choice));
    this.heads = this.columns.map((column, at) => make("th", { scope: "col", role: "columnheader", class: column.kind },
      column.key ? make("button", { type: "button", onclick: () => this.turn(at) }, column.title) : column.title));
    this.body = make("tbody", { role: "rowgroup" });
    const table = make("table", { class: "browsed", role: "table" },
      make("caption", {}, make("span", {}, place.dataset.caption)),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.heads)), this.body);
    const step = (title, sign, to) => make("button",
      { type: "button", "aria-label": `${title} of ${called}`, onclick: () => this.turnTo(to()) }, sign);
    this.first = step("First page", "«", () => 0);
    this.before = step("Previous page", "‹", () => this.page - 1);
    this.after = step("Next page", "›", () => this.page + 1);
    this.last = step("Last page", "»", () => this.pages - 1);
    this.at = make("input", { type: "number", min: 1, "aria-label": `Page of ${called}`,
      onchange: () => this.turnTo(Number(this.at.value) - 1) });
    this.of = make("span");
    this.status = make("span", { class: "status", role: "status" });
    const pager = make("div", { class: "pager", role: "group", "aria-label": `Pages of ${called}` },
      this.first, this.before, this.at, this.of, this.after, this.last, this.status);
    place.append(tools, this.chip,
      make("div", { class: "scrolls", role: "region", tabindex: "0", "aria-label": called }, table), pager);
  }

  get pages() { return Math.max(1, Math.ceil(this.found.length / this.size)); }

  /** Rows that hold what is searched for, in order. */
  look() {
    this.wanted = this.search.value.trim().toLowerCase();
    const test = this.keep.length ? this.keep[this.choice.value || 0][1] : null;
    this.found = this.all.filter((row) =>
      (!this.wanted || (this.lower[row] ??= this.words(row).toLowerCase()).includes(this.wanted))
      && (!test || test(row)) && (!this.only || this.only(row)));
    this.order();
    this.turnTo(0);
  }

  order() {
    if (!this.sort) return;
    const { at, down } = this.sort;
    const key = this.columns[at].key;
    const keys = new Map(this.found.map((row) => [row, key(row)]));
    const sign = down ? -1 : 1;
    this.found.sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      return (typeof a === "string" ? a.localeCompare(b) : a - b) * sign || one - other;
    });
  }

  /** Sorts by a column, numbers from the largest; a second time the other way round. */
  turn(at) {
    const again = this.sort?.at === at;
    const down = again ? !this.sort.down : !this.columns[at].ascends;
    this.sort = { at, down };
    this.found = [...this.found];
    this.order();
    this.turnTo(0);
  }

  turnTo(page) {
    this.page = Math.min(Math.max(0, Math.round(page) || 0), this.pages - 1);
    const from = this.page * this.size;
    const rows = this.found.slice(from, from + this.size);
    this.body.replaceChildren(...rows.map((row) => make("tr", { role: "row" },
      ...this.columns.map((column) => make(column.head ? "th" : "td", column.head
        ? { scope: "row", role: "rowheader", class: column.kind }
        : { role: "cell", class: column.kind, "data-label": column.title }, ...column.cell(row, this.wanted))))));
    this.heads.forEach((head, at) => {
      if (this.sort?.at === at) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.at.value = this.page + 1;
    this.at.max = this.pages;
    this.of.textContent = `of ${number.format(this.pages)}`;
    this.first.disabled = this.before.disabled = this.page === 0;
    this.after.disabled = this.last.disabled = this.page === this.pages - 1;
    this.status.textContent = this.found.length
      ? `${number.format(from + 1)} to ${number.format(from + rows.length)} of ${number.format(this.found.length)} ${this.called}`
      : `no ${this.called}`;
  }

  /** Rows of which a test is true, with a button that ends that; null: all. */
  restrict(what, test) {
    this.only = test;
    this.chip.hidden = !test;
    this.chip.replaceChildren();
    if (test) {
      this.chip.append(what, make("button", { type: "button", onclick: () => {
        this.restrict("", null);
        this.search.focus();
      } }, "show all"));
    }
    this.look();
  }
}

for (const browser of document.querySelectorAll(".browser")) {
  const { first, documents, labels } = JSON.parse(browser.querySelector(".data").textContent);
  const nameOf = (label) => (labels.names ?? labels.ids)[label];
  const { texts, truth, predicted, scores } = documents;
  const ids = documents.ids ?? [];
  const isTrue = (row, label) => truth[row].includes(label);
  const right = texts.map((_, row) => predicted[row].slice(0, first).filter((label) => isTrue(row, label)).length);

  const prediction = (row, wanted) => (label, rank) => {
    const hit = isTrue(row, label), score = scores[row][rank];
    const made = make("li", { class: `prediction${hit ? " true" : ""}` },
      make("span", { class: "mark", "aria-hidden": "true" }, hit ? "✓" : ""),
      make("span", { class: "name" }, ...marked(nameOf(label), wanted), ...(hit ? [make("span", { class: "hidden" }, " (true)")] : [])),
      make("span", { class: "score" }, score.toFixed(3)));
    made.style.setProperty("--share", `${100 * score}%`);
    return made;
  };
  const further = (row, wanted) => {
    const rest = predicted[row].map(prediction(row, wanted)).slice(first);
    if (!rest.length) return [];
    const right = rest.filter((one) => one.classList.contains("true")).length;
    return [make("details", { open: wanted !== "" && rest.some((one) => one.querySelector("mark")) },
      make("summary", {}, `${rest.length} more, ${right || "none"} right`),
      make("ol", { class: "list", start: first + 1 }, ...rest))];
  };
  const trueLabel = (row, wanted) => (label) => {
    const rank = predicted[row].indexOf(label);
    return make("li", { class: rank >= 0 ? "found" : "missed" }, ...marked(nameOf(label), wanted),
      make("span", { class: "hidden" }, rank >= 0 ? " (predicted)" : " (missed)"));
  };
  const listed = new Browsed(browser.querySelector(".documents"), {
    count: texts.length, called: "documents", size: 10,
    words: (row) => [texts[row], ids[row] ?? "", ...predicted[row].map(nameOf), ...truth[row].map(nameOf)].join("\n"),
    keep: [
      ["all", () => true],
      [`none of the first ${first} is right`, (row) => right[row] === 0],
      ["the first is wrong", (row) => !isTrue(row, predicted[row][0])],
      ["all true labels are predicted", (row) => truth[row].every((label) => predicted[row].includes(label))],
      ["no true label", (row) => truth[row].length === 0],
    ],
    columns: [
      { title: "document", kind: "doc", ascends: true, key: (row) => row, cell: (row, wanted) => [
        make("span", { class: "id" }, ids[row] ? `${number.format(row + 1)} · ` : number.format(row + 1), ...marked(ids[row] ?? "", wanted)),
        make("div", { class: "text", tabindex: texts[row].length > 400 ? "0" : null }, ...marked(texts[row], wanted))] },
      { title: "predicted", key: (row) => scores[row][0] ?? 0, cell: (row, wanted) => [
        make("ol", { class: "list" }, ...predicted[row].map(prediction(row, wanted)).slice(0, first)),
        ...further(row, wanted)] },
      { title: "true", key: (row) => truth[row].length, cell: (row, wanted) => [
        make("ul", { class: "list" }, ...truth[row].map(trueLabel(row, wanted)))] },
      { title: `right of ${first}`, kind: "number", key: (row) => right[row], cell: (row) => [String(right[row])] },
    ],
  });

  const toDocuments = (label) => {
    listed.search.value = "";
    listed.choice.value = 0;
    listed.restrict(`only documents of the label “${nameOf(label)}”, true or predicted`,
      (row) => isTrue(row, label) || predicted[row].includes(label));
    listed.place.previousElementSibling.scrollIntoView();
    listed.chip.querySelector("button").focus({ preventScroll: true });
  };
  const figure = (title, column, digits) => ({ title, kind: "number", key: (label) => column[label],
    cell: (label) => [digits ? column[label].toFixed(digits) : number.format(column[label])] });
  new Browsed(browser.querySelector(".labels"), {
    count: labels.ids.length, called: "labels", size: 15, sort: { at: 2, down: true },
    words: (label) => `${labels.ids[label]}\n${nameOf(label)}`,
    columns: [
      { title: "label", head: true, ascends: true, key: nameOf, cell: (label, wanted) => [
        make("button", { type: "button", class: "link", title: "its documents", onclick: () => toDocuments(label) },
          ...marked(nameOf(label), wanted)),
        ...(labels.names ? [make("span", { class: "id" }, ...marked(labels.ids[label], wanted))] : [])] },
      figure("in training", labels.training), figure("true", labels.support),
      figure("right", labels.right), figure("wrong", labels.wrong),
      figure("P", labels.p, 1), figure("R", labels.r, 1), figure("F1", labels.f1, 1),
    ],
  });
}
