"use strict";
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const make = (tag, props = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...children);
    return made;
  };

  // tables: a click on a heading sorts, a second one turns the order around
  const key = cell => {
    const words = cell.dataset.v ?? cell.textContent.trim();
    const value = Number.parseFloat(words);
    return /^[-+]?[\d.]/.test(words) && value === value ? value : words.toLowerCase();
  };
  const order = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  };
  for (const head of all("table.sortable thead th")) {
    head.querySelector(".sort")?.addEventListener("click", () => {
      const body = head.closest("table").tBodies[0];
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...body.rows].map(row => [key(row.cells[head.cellIndex]), row]);
      rows.sort((a, b) => (up ? 1 : -1) * order(a[0], b[0]));
      body.append(...rows.map(row => row[1]));
    });
  }

  // on a narrow screen each row is a list, which names its columns
  for (const table of all("table.stack")) {
    const names = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
    for (const row of table.tBodies[0].rows)
      for (const cell of row.cells) if (cell.tagName === "TD") cell.dataset.label = names[cell.cellIndex];
    table.classList.add("stacked");
  }

  // panels that follow each other become tabs
  for (const group of all(".tabs")) {
    const panels = all(":scope > .panel", group);
    if (panels.length < 2) continue;
    const list = make("div", { className: "tablist" });
    list.setAttribute("role", "tablist");
    const pick = chosen => panels.forEach((panel, i) => {
      panel.hidden = i !== chosen;
      list.children[i].setAttribute("aria-selected", i === chosen);
      list.children[i].tabIndex = i === chosen ? 0 : -1;
    });
    panels.forEach((panel, i) => {
      const tab = make("button", { type: "button", textContent: panel.dataset.title });
      tab.setAttribute("role", "tab");
      panel.setAttribute("role", "tabpanel");
      tab.addEventListener("click", () => pick(i));
      list.append(tab);
    });
    list.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (panels.findIndex(panel => !panel.hidden) + step + panels.length) % panels.length;
      pick(next);
      list.children[next].focus();
    });
    group.classList.add("tabbed");
    group.prepend(list);
    pick(0);
  }

  // pictures open to a bigger view, with keys for the next and the one before
  const views = all("button.view");
  if (views.length) {
    const stage = make("div", { className: "stage" });
    const words = make("div", { className: "words" });
    const choices = make("div", { className: "bar" });
    const back = make("button", { type: "button", textContent: "Previous" });
    const next = make("button", { type: "button", textContent: "Next" });
    const close = make("button", { type: "button", textContent: "Close" });
    const bar = make("div", { className: "bar" }, back, next, make("span", { className: "grow" }), close);
    const box = make("dialog", {}, make("div", { className: "viewer" }, stage, words, choices, bar));
    box.setAttribute("aria-label", "picture");
    document.body.append(box);
    let row = [], at = 0, seen = "";
    const heat = kind => {
      seen = kind;
      stage.className = `stage ${kind ? `show-${kind}` : ""}`;
      for (const choice of choices.children) choice.setAttribute("aria-pressed", choice.value === kind);
    };
    const show = index => {
      at = (index + row.length) % row.length;
      const view = row[at], figure = view.closest("figure");
      stage.replaceChildren(view.querySelector("svg").cloneNode(true));
      words.replaceChildren(...all("figcaption > *", figure).map(part =>
        make("div", { className: part.className === "file" ? "id note" : "", textContent: part.textContent })));
      const kinds = view.dataset.predicted === undefined ? [] :
        [["", "Picture"], ["predicted", `Why ${view.dataset.predicted}?`], ["true", `Why ${view.dataset.true}?`]];
      const held = choices.contains(document.activeElement);
      choices.replaceChildren(...kinds.filter(kind => !kind[0] || stage.querySelector(`.heat.${kind[0]}`)).map(kind => {
        const choice = make("button", { type: "button", value: kind[0], textContent: kind[1] });
        choice.addEventListener("click", () => heat(kind[0]));
        return choice;
      }));
      heat(kinds.length ? seen : "");
      // a choice that had the focus is replaced: without it, no further key would reach the box
      if (held) (choices.querySelector("[aria-pressed=true]") ?? next).focus();
    };
    for (const view of views) view.addEventListener("click", () => {
      row = all(".shot:not([hidden]) button.view", view.closest(".shots"));
      show(row.indexOf(view));
      box.showModal();
    });
    back.addEventListener("click", () => show(at - 1));
    next.addEventListener("click", () => show(at + 1));
    close.addEventListener("click", () => box.close());
    box.addEventListener("click", event => { if (event.target === box) box.close(); });
    box.addEventListener("keydown", event => {
      if (event.key === "ArrowLeft") show(at - 1);
      if (event.key === "ArrowRight") show(at + 1);
    });
  }

  // mistakes: filtered by true and predicted class, ordered, and so many at a time
  const step = 48;
  for (const bar of all(".filters")) {
    const shots = bar.parentNode.querySelector(".filtered"), figures = all(".shot", shots);
    const filters = all(".filter", bar), order = bar.querySelector(".order");
    const name = figure => figure.querySelector(".file").textContent;
    const more = make("button", { type: "button", className: "more", hidden: true });
    shots.after(more);
    let most = step;
    const fits = figure => filters.every(f => !f.value || figure.getAttribute(`data-${f.dataset.key}`) === f.value);
    const update = () => {
      const sign = order.value === "up" ? 1 : -1;
      const sorted = [...figures].sort((a, b) => order.value === "name"
        ? name(a).localeCompare(name(b)) : sign * (a.dataset.loss - b.dataset.loss));
      const chosen = sorted.filter(fits), shown = new Set(chosen.slice(0, most));
      for (const figure of figures) figure.hidden = !shown.has(figure);
      shots.append(...sorted);
      const rest = chosen.length - shown.size;
      bar.querySelector(".shown-count").textContent = rest ? `${shown.size} of ${chosen.length} shown` : `${chosen.length} shown`;
      more.textContent = `Show ${Math.min(step, rest)} more`;
      more.hidden = !rest;
    };
    for (const choice of [...filters, order]) choice.addEventListener("change", () => { most = step; update(); });
    more.addEventListener("click", () => { most += step; update(); });
    addEventListener("beforeprint", () => { most = Infinity; update(); });
    bar.hidden = false;
    update();
  }

  // the map: words beside the mouse, and one class at a time
  const tip = make("div", { className: "tooltip", hidden: true });
  document.body.append(tip);
  const preview = name => {
    const picture = name && document.getElementById(name);
    if (!picture) return [];
    const [frame, use] = ["svg", "use"].map(tag => document.createElementNS("http://www.w3.org/2000/svg", tag));
    frame.setAttribute("viewBox", `0 0 ${picture.getAttribute("width")} ${picture.getAttribute("height")}`);
    use.setAttribute("href", `#${name}`);
    frame.append(use);
    return [frame];
  };
  for (const map of all(".map")) {
    for (const title of all("circle > title", map)) {
      title.parentNode.dataset.words = title.textContent;
      title.remove();
    }
    map.addEventListener("pointermove", event => {
      const words = event.target.dataset?.words;
      tip.hidden = !words;
      if (!words) return;
      if (words !== tip.title) tip.replaceChildren(...preview(event.target.dataset.picture), words);
      tip.title = words;
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
    });
    map.addEventListener("pointerleave", () => { tip.hidden = true; });
    for (const entry of all(".legend [data-class]", map)) entry.addEventListener("click", () => {
      const off = entry.getAttribute("aria-pressed") === "true";
      for (const other of all(".legend [data-class]", map)) other.setAttribute("aria-pressed", "false");
      entry.setAttribute("aria-pressed", String(!off));
      map.classList.toggle("picked", !off);
      for (const dot of all(".map-dot", map)) dot.classList.toggle("on", dot.dataset.class === entry.dataset.class);
    });
  }

  for (const copy of all(".copy")) {
    if (!navigator.clipboard) continue;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(copy.previousElementSibling.textContent);
        copy.textContent = "Copied";
      } catch { copy.textContent = "Not allowed"; }
    });
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open]):not(.plain)");
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of closed) part.open = false; });
})();
