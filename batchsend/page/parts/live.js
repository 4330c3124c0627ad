"use strict";
// Asks for the state once a second and puts it in its places. What is told is put in as text, never as markup.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const place = (id) => document.getElementById(id);
  const made = (node, attributes, inside) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    for (const one of inside) node.append(one);
    return node;
  };
  const html = (name, attributes = {}, ...inside) => made(document.createElement(name), attributes, inside);
  const svg = (name, attributes = {}, ...inside) => made(document.createElementNS(SVG, name), attributes, inside);
  const fill = (id, ...inside) => place(id).replaceChildren(...inside);
  const dot = (kind) =>
    svg("svg", { class: "dot", viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: kind, width: 10, height: 10, rx: 3 }));
  const bar = (kind, part, height) =>
    svg("svg", { width: "100%", height, "aria-hidden": "true" },
      svg("rect", { class: "rest", width: "100%", height }), svg("rect", { class: kind, width: `${part}%`, height }));

  const stack = (outcomes) => {
    const parts = [svg("rect", { class: "rest", width: "100%", height: "100%" })];
    let before = 0;
    for (const one of outcomes) {
      parts.push(svg("rect", { class: one.kind, x: `${before}%`, width: `${one.part}%`, height: "100%" }, svg("title", {}, `${one.name}: ${one.count}`)));
      before += one.part;
    }
    fill("stack", ...parts);
    fill("legend", ...outcomes.map((one) => html("li", {}, dot(one.kind), `${one.name} `, html("b", {}, one.count))));
  };

  // As the report draws it: places in per cent, letters in their own size.
  const chart = (told) => {
    place("pace").hidden = !told;
    if (!told) return;
    place("chart-said").textContent = told.description;
    const inner = svg("svg", { y: 32, width: "100%", height: 172, overflow: "visible" });
    for (const row of told.rows) inner.append(svg("line", { class: "grid", x1: 0, x2: "100%", y1: `${row.place}%`, y2: `${row.place}%` }));
    for (const column of told.columns.filter((one) => one.rects.length)) {
      const group = svg("g", {}, svg("title", {}, column.title));
      for (const rect of column.rects)
        group.append(svg("rect", { class: rect.kind, x: `${rect.x}%`, y: `${rect.y}%`, width: `${rect.width}%`, height: `${rect.height}%` }));
      inner.append(group);
    }
    inner.append(svg("line", { class: "axis", x1: 0, x2: "100%", y1: "100%", y2: "100%" }));
    for (const row of told.rows) inner.append(svg("text", { class: "label", x: -8, y: `${row.place}%`, dy: 4, "text-anchor": "end" }, row.label));
    const whole = svg("svg", { width: "100%", height: 232, role: "img", "aria-label": `${told.title}: ${told.description}` }, inner);
    for (const tick of told.ticks) whole.append(svg("text", { class: "label", x: `${tick.place}%`, y: 222, "text-anchor": tick.anchor }, tick.label));
    fill("chart", whole);
  };

  const quota = (one) => html("span", { class: "quota" }, bar("reply", one.part, 8), html("span", {}, one.said));
  const relays = (told, quotas) => {
    const number = (text, more = "") => html("td", { class: `number ${more}` }, text);
    const rows = told.map((one) => {
      const name = html("th", { scope: "row", class: "text" }, one.name, ...one.quotas.map(quota));
      if (one.said) name.append(html("span", { class: "said-of" }, one.said));
      return html("tr", {}, name, number(one.accepted), number(one.pace), number(one.sessions, "wide"));
    });
    if (quotas.length) rows.push(html("tr", {}, html("th", { scope: "row", class: "text" }, "the whole campaign", ...quotas.map(quota)), number(""), number(""), number("", "wide")));
    place("relays-section").hidden = !rows.length;
    fill("relays", ...rows);
  };

  const row = (label, middle, count) =>
    html("tr", {}, html("th", { scope: "row" }, label), html("td", { class: "bar" }, middle), html("td", { class: "number" }, count));

  let paused = false;
  const typed = new Set();  // fields with a value that is not sent yet: it stays, also while they are not in use
  let sure = 0;
  const show = (told) => {
    place("gone").hidden = true;
    const state = place("state");
    state.textContent = told.state;
    state.className = `state ${told.state}`;
    place("share").textContent = told.share ?? "";
    place("said").textContent = told.said;
    stack(told.outcomes);
    fill("notes", ...told.notes.map((note) => html("p", {}, note)));
    fill("figures", ...told.figures.map(([name, value, small]) =>
      html("div", {}, html("dt", {}, name), html("dd", {}, value, ...(small ? [html("small", {}, small)] : [])))));
    chart(told.chart);
    relays(told.relays, told.quotas);
    place("sessions-said").textContent = told.sessions_said;
    fill("sessions", ...told.sessions.map((one) => row(`#${one.number} ${one.state}`, bar(one.state, one.part, 10), one.said)));
    place("replies-section").hidden = !told.replies.length;
    fill("replies", ...told.replies.map(([code, count]) => row(code, "", count)));
    paused = told.paused;
    place("pause").textContent = paused ? "Continue" : "Pause";
    for (const button of document.querySelectorAll("button")) button.disabled = told.stopping;
    for (const [id, value] of [["rate", told.rate ?? ""], ["connections", String(told.connections)]])
      if (document.activeElement !== place(id) && !typed.has(id)) place(id).value = value;
  };

  let gone = false;
  const look = async () => {
    try {
      const answer = await fetch("state", { cache: "no-store" });
      if (!answer.ok) throw new Error("refused");
      show(await answer.json());
      gone = false;
    } catch {
      place("gone").hidden = false;
      place("state").textContent = "not there";
      place("state").className = "state";
      for (const button of document.querySelectorAll("button")) button.disabled = true;
      gone = true;
    }
  };

  const ask = async (command, value) => {
    let said = "the run does not answer";
    try {
      const body = JSON.stringify(value === undefined ? { command } : { command, value });
      const answer = await fetch("control", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const told = answer.ok ? await answer.json() : { message: await answer.text() };
      said = told.remedy ? `${told.message}: ${told.remedy}` : told.message;
    } catch { /* said already */ }
    place("answer").textContent = said;
    await look();
  };

  place("pause").addEventListener("click", () => ask(paused ? "continue" : "pause"));
  const unsure = () => {
    clearTimeout(sure);
    sure = 0;
    place("stop").textContent = "Stop";
    place("stop").classList.remove("sure");
  };
  place("stop").addEventListener("click", () => {
    if (sure) {
      unsure();
      ask("stop");
      return;
    }
    place("stop").textContent = "Stop the run?";
    place("stop").classList.add("sure");
    sure = setTimeout(unsure, 5000);
  });
  const field = (id, value) => {
    place(id).addEventListener("input", () => typed.add(id));
    place(`${id}-form`).addEventListener("submit", (event) => {
      event.preventDefault();
      ask(id, value(place(id).value));
      typed.delete(id);
      place(id).blur();
    });
  };
  field("rate", (text) => text.trim() || "none");
  field("connections", Number);

  const again = async () => {
    // A page that nobody sees asks for nothing; one whose run is gone asks now and then, for it may be started again.
    if (!document.hidden) await look();
    setTimeout(again, gone ? 5000 : 1000);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  again();
})();
