"use strict";
// The page of `voxstream serve`: asks every few seconds, shows what it is told. No library.
const PERIOD = 3000;
const byId = (id) => document.getElementById(id);
const state = { run: null, tab: "report", heads: [], runs: [] };

async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch(query ? `${path}?${query}` : path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function ago(seconds) {
  if (seconds === null) return "";
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 90) return `${Math.round(past)} s ago`;
  if (past < 5400) return `${Math.round(past / 60)} min ago`;
  if (past < 129600) return `${Math.round(past / 3600)} h ago`;
  return `${Math.round(past / 86400)} days ago`;
}

async function showRuns() {
  state.runs = await (await ask("api/runs")).json();
  const items = state.runs.map((run) => {
    const button = element("button", { type: "button", "aria-current": run.run === state.run },
      element("span", { class: `dot ${run.state}` }), run.run,
      element("small", {}, `${run.state}, written ${ago(run.changed)}`));
    button.addEventListener("click", () => choose(run.run));
    return element("li", {}, button);
  });
  byId("runs").replaceChildren(...items);
  const running = state.runs.filter((run) => run.state === "running").length;
  byId("state").textContent = `${state.runs.length} runs, ${running} running`;
  const wanted = new URLSearchParams(location.hash.slice(1)).get("run");
  if (state.run === null && state.runs.length > 0) {
    const known = state.runs.some((run) => run.run === wanted);
    choose(known ? wanted : state.runs[0].run);
  }
}

function choose(run) {
  state.run = run;
  state.html = "";
  location.hash = new URLSearchParams({ run }).toString();
  for (const button of document.querySelectorAll("#runs button")) {
    button.setAttribute("aria-current", button.childNodes[1].textContent === run);
  }
  showReport().catch(showProblem);
  if (state.tab === "slices") showSubjects().catch(showProblem);
}

// The report of a run is a page of its own: its style and its main part are taken over.
async function showReport() {
  const run = state.run;
  const html = await (await ask("api/run", { run })).text();
  if (run !== state.run || html === state.html) return;
  state.html = html;
  const page = new DOMParser().parseFromString(html, "text/html");
  const style = page.querySelector("style");
  if (style && !byId("style-of-report")) {
    document.head.append(element("style", { id: "style-of-report" }, style.textContent));
  }
  const main = page.querySelector("main");
  const open = [...byId("report").querySelectorAll("details")].map((d) => d.open);
  const place = window.scrollY;
  byId("report").replaceChildren(main);
  [...byId("report").querySelectorAll("details")].forEach((d, i) => { d.open = open[i] || false; });
  window.scrollTo(0, place);
}

async function showSubjects() {
  const run = state.run;
  const subjects = await (await ask("api/cases", { run })).json();
  if (run !== state.run) return;
  byId("subject").replaceChildren(...subjects.map((id) => element("option", {}, id)));
  byId("noslices").textContent = subjects.length ? "" : "The run keeps no predictions as Parquet: sinks: { predictions: { parquet: true } }";
  byId("slice").hidden = subjects.length === 0;
  if (subjects.length) await showSubject();
}

async function showSubject() {
  state.heads = await (await ask("api/case", { run: state.run, subject: byId("subject").value })).json();
  byId("head").replaceChildren(...state.heads.map((h) => element("option", {}, h.head)));
  showPlanes();
}

function showPlanes() {
  const head = state.heads[byId("head").selectedIndex];
  const before = byId("plane").value;
  byId("plane").replaceChildren(...head.planes.map((p) => element("option", {}, p.plane)));
  if (before) byId("plane").value = before;
  showRange();
}

function showRange() {
  const head = state.heads[byId("head").selectedIndex];
  const plane = head.planes[byId("plane").selectedIndex];
  byId("index").max = plane.slices - 1;
  byId("index").value = plane.start;
  showSlice();
}

function showSlice() {
  const index = byId("index");
  byId("place").textContent = `${Number(index.value) + 1} of ${Number(index.max) + 1}`;
  const query = new URLSearchParams({
    run: state.run, subject: byId("subject").value, head: byId("head").value,
    plane: byId("plane").value, index: index.value,
  });
  byId("slice").src = `api/slice.png?${query}`;
}

async function showAnswer(statement) {
  byId("problem").textContent = "";
  byId("took").textContent = "asking …";
  try {
    const answer = await (await ask("api/sql", { q: statement })).json();
    const cell = (value) => {
      if (value === null || value === undefined) return element("td", { class: "null" }, "null");
      if (typeof value === "number") return element("td", { class: "n" }, String(value));
      return element("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value));
    };
    const rows = answer.lines.map((line) => JSON.parse(line));
    const columns = rows.length ? Object.keys(rows[0]) : [];
    const head = element("tr", {}, ...columns.map((c) => element("th", {}, c)));
    const body = rows.map((row) => element("tr", {}, ...columns.map((c) => cell(row[c]))));
    byId("answer").replaceChildren(head, ...body);
    const more = rows.length >= answer.most ? ` (the first ${answer.most} are shown)` : "";
    byId("took").textContent = answer.took + more;
  } catch (problem) {
    byId("answer").replaceChildren();
    byId("took").textContent = "";
    byId("problem").textContent = problem.message;
  }
}

function showTab(tab) {
  state.tab = tab;
  for (const button of document.querySelectorAll("#tabs button")) {
    button.setAttribute("aria-selected", button.dataset.tab === tab);
    byId(button.dataset.tab).hidden = button.dataset.tab !== tab;
  }
  if (tab === "slices" && state.run) showSubjects().catch(showProblem);
}

function showProblem(problem) {
  byId("state").textContent = problem.message;
}

async function follow() {
  try {
    await showRuns();
    const run = state.runs.find((r) => r.run === state.run);
    if (state.tab === "report" && run && run.state === "running") await showReport();
  } catch (problem) {
    showProblem(problem);
  }
  setTimeout(follow, PERIOD);
}

document.querySelectorAll("#tabs button").forEach((b) => b.addEventListener("click", () => showTab(b.dataset.tab)));
byId("subject").addEventListener("change", () => showSubject().catch(showProblem));
byId("head").addEventListener("change", showPlanes);
byId("plane").addEventListener("change", showRange);
byId("index").addEventListener("input", showSlice);
byId("ask").addEventListener("submit", (event) => { event.preventDefault(); showAnswer(byId("statement").value); });
byId("statement").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); showAnswer(byId("statement").value); }
});
byId("tables").addEventListener("click", () => showAnswer("show tables"));
follow();
