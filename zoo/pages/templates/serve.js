"use strict";
(() => {
  const SHOWN = 5; // bars before "all classes"
  const byId = id => document.getElementById(id);
  const make = (tag, props = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...children);
    return made;
  };
  const colours = Object.fromEntries(JSON.parse(byId("classes").textContent));
  const here = new URL(".", location.href).href.replace(/\/$/, "");
  for (const code of document.querySelectorAll("code")) {
    code.textContent = code.textContent.replace("ADDRESS", here);
  }

  // the token stays in this tab
  const secret = byId("secret");
  if (secret) {
    secret.value = sessionStorage.getItem("zoo-token") ?? "";
    byId("token").addEventListener("submit", event => {
      event.preventDefault();
      sessionStorage.setItem("zoo-token", secret.value);
      byId("known").textContent = "used from now on, in this tab";
    });
  }

  const ask = async (path, file) => {
    const headers = secret?.value ? { Authorization: `Bearer ${secret.value}` } : {};
    const body = new FormData();
    body.append("image", file, file.name || "photo");
    let answer;
    try {
      answer = await fetch(path, { method: "POST", body, headers });
    } catch {
      throw new Error("the server does not answer: is it still running?");
    }
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    return found;
  };

  const bar = (name, p) => {
    const label = make("span", { className: "label", title: name, textContent: name });
    const fill = make("div", { className: "bar" });
    fill.style.width = `${100 * p}%`;
    fill.style.background = colours[name];
    const number = make("span", { className: "n", textContent: p.toFixed(3) });
    return make("li", {}, label, make("div", { className: "rail" }, fill), number);
  };

  const bars = probabilities => {
    const order = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    const list = make("ul", { className: "bars" }, ...order.slice(0, SHOWN).map(x => bar(...x)));
    const rest = order.slice(SHOWN);
    if (!rest.length) return [list, null];
    const more = make("button", { type: "button", className: "more" }, `All ${order.length} classes`);
    more.addEventListener("click", () => {
      list.append(...rest.map(x => bar(...x)));
      more.remove();
    });
    return [list, more];
  };

  const heatButton = (file, photo, trouble) => {
    const label = on => (on ? "Hide what speaks for it" : "Show what speaks for it");
    const button = make("button", { type: "button", className: "more" }, label(false));
    button.setAttribute("aria-pressed", "false");
    let heat = null;
    button.addEventListener("click", async () => {
      if (!heat) {
        button.disabled = true;
        button.textContent = "Looking …";
        try {
          const found = await ask("explain", file);
          heat = make("img", { className: "heat", src: found.heat, hidden: true });
          heat.alt = `what speaks for ${found.class}, from yellow to red`;
          photo.append(heat);
        } catch (error) {
          trouble.textContent = error.message;
          button.remove();
          return;
        }
        button.disabled = false;
      }
      heat.hidden = !heat.hidden;
      button.setAttribute("aria-pressed", String(!heat.hidden));
      button.textContent = label(!heat.hidden);
    });
    return button;
  };

  const show = (file, found) => {
    const image = make("img", { src: URL.createObjectURL(file), alt: file.name || "photo" });
    const photo = make("div", { className: "photo" }, image);
    // a format that the browser cannot show
    image.addEventListener("error", () => image.replaceWith(make("p", { className: "note", textContent: "no preview" })));
    const about = make("div");
    const trouble = make("p", { className: "trouble", role: "alert" });
    const card = make("article", { className: "sheet answer" }, photo, about);
    const name = make("p", { className: "file", textContent: file.name || "pasted photo" });
    if (found instanceof Error) {
      trouble.textContent = found.message;
      about.append(make("h2", { textContent: "No answer" }), name, trouble);
    } else {
      const one = found.images[0];
      const [list, more] = bars(one.probabilities);
      const acts = make("div", { className: "acts" }, heatButton(file, photo, trouble));
      if (more) acts.append(more);
      about.append(make("h2", { textContent: one.top[0].class }), name, list, acts, trouble);
      const json = make("pre", { textContent: JSON.stringify(found, null, 1), tabIndex: 0 });
      card.append(make("details", {}, make("summary", { textContent: "JSON" }), json));
    }
    byId("answers").prepend(card);
  };

  const answer = async files => {
    let done = 0;
    for (const file of files) {
      byId("status").textContent = `${done} of ${files.length} answered`;
      try {
        show(file, await ask("predict", file));
      } catch (error) {
        show(file, error);
      }
      done += 1;
    }
    byId("status").textContent = files.length > 1 ? `${done} photos answered` : "";
  };

  for (const id of ["files", "camera"]) {
    byId(id).addEventListener("change", event => {
      answer([...event.target.files]);
      event.target.value = ""; // the same file again is asked again
    });
  }
  const drop = byId("drop");
  addEventListener("dragover", event => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", event => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", event => {
    event.preventDefault();
    drop.classList.remove("over");
    answer([...event.dataTransfer.files]);
  });
  addEventListener("paste", event => {
    if (event.clipboardData?.files.length) answer([...event.clipboardData.files]);
  });
  byId("copy").addEventListener("click", event => {
    navigator.clipboard?.writeText(byId("curl").textContent);
    event.target.textContent = "Copied";
  });
})();
