// What the portal does beyond plain pages: it looks again when something changes, searches while you type, checks a
// form as you fill it in, and waits for a typed name before it destroys. Every page works without any of it.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const part = (id) => document.getElementById(id);
  const later = (wait, work) => {
    let timer;
    return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), wait); };
  };

  async function ask(address, options = {}) {
    const answer = await fetch(address, options);
    // Whoever is signed out by now is led to sign-in: that page must not end up inside this one.
    return answer.redirected || answer.status >= 500 || answer.status === 401 ? null : answer.text();
  }
  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

  // ---- a part of the page, as the server shows it now ----
  const signature = (element) => [element.tagName, element.id, element.getAttribute("href"), element.getAttribute("name"),
    element.form ? element.form.getAttribute("action") : "", element.textContent.trim()].join("|");
  const reachable = "a[href], button, summary, input, select, textarea, [tabindex]";

  function swap(id, text) {
    const old = part(id), fresh = parsed(text).getElementById(id);
    if (!old || !fresh || old.outerHTML === fresh.outerHTML) return;
    const held = old.contains(document.activeElement) ? signature(document.activeElement) : null;
    const open = all("details[open] > summary", old).map(signature);
    const scrolled = all(".scroll", old).map((element) => element.scrollLeft);
    document.adoptNode(fresh);
    old.replaceWith(fresh);
    for (const summary of all("details > summary", fresh)) summary.parentElement.open = open.includes(signature(summary));
    all(".scroll", fresh).forEach((element, place) => { element.scrollLeft = scrolled[place] || 0; });
    if (held) {
      const again = all(reachable, fresh).find((element) => signature(element) === held) || fresh;
      if (again === fresh) fresh.tabIndex = -1;
      again.focus({ preventScroll: true });
    }
    prepare(fresh);
  }

  // Never under somebody's hands: a field that is being filled in, or a menu that is open, stays until it is left.
  const inUse = (region) => region.contains(document.activeElement) &&
    (document.activeElement.matches("input, select, textarea") || document.activeElement.closest("details[open]"));

  const due = new Map();
  async function refresh(id) {
    const region = part(id);
    if (!region) return;
    if (inUse(region)) { plan(id, 2000); return; }
    const text = await ask(location.pathname + location.search, { headers: { "X-Fragment": id } }).catch(() => null);
    if (text) swap(id, text);
  }
  function plan(id, wait = 400) {
    if (!due.has(id)) due.set(id, setTimeout(() => { due.delete(id); refresh(id); }, wait));
  }

  // ---- the log of a job: only what is new ----
  let tailing = Promise.resolve();
  function tail(list) {
    tailing = tailing.then(async () => {
      const last = list.lastElementChild ? list.lastElementChild.dataset.number : 0;
      const text = await ask(`${list.dataset.tail}?after=${last}`);
      if (!text) return;
      const box = list.parentElement, atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      list.append(...parsed(`<ol>${text}</ol>`).body.firstElementChild.children);
      if (atEnd) box.scrollTop = box.scrollHeight;
    }).catch(() => {});
  }

  // ---- what the server tells ----
  function heard(topic, body) {
    const about = Object.values(body).map(String);
    const concerns = (element) => !topic || !element.dataset.of || about.includes(element.dataset.of);
    for (const region of all("[data-live]")) {
      if ((!topic || region.dataset.live.split(" ").includes(topic)) && concerns(region)) plan(region.id);
    }
    for (const list of all("[data-tail]")) {
      if ((!topic || topic === "log" || topic === "job") && concerns(list)) tail(list);
    }
  }
  if (document.body.dataset.events && document.querySelector("[data-live], [data-tail]")) {
    const topics = ["job", "log", "guest", "source", "drift"];
    const stream = new EventSource(`${document.body.dataset.events}?topics=${topics}`);
    for (const topic of topics) stream.addEventListener(topic, (event) => heard(topic, JSON.parse(event.data)));
    stream.addEventListener("missed", () => heard("", {}));
    // Whatever happened between the page and the stream, the first time and after a break, is told by nobody.
    stream.addEventListener("open", () => heard("", {}));
    addEventListener("pagehide", () => stream.close());
  }

  // ---- search and filters while you type; the address says what is shown ----
  async function filter(form) {
    const chosen = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const address = form.getAttribute("action") + (chosen.size ? `?${chosen}` : "");
    const text = await ask(address, { headers: { "X-Fragment": form.dataset.filter } }).catch(() => null);
    if (!text) return;
    history.replaceState(null, "", address);
    swap(form.dataset.filter, text);
  }

  // ---- a form is checked where it has been touched ----
  async function check(form) {
    const text = await ask(form.dataset.check, { method: "POST", body: new FormData(form) }).catch(() => null);
    if (!text) return;
    for (const said of all("[id^=problem-]", parsed(text))) {
      const field = form.elements[said.id.slice(8)];
      const shown = part(said.id);
      if (!shown || (field && !(field.dataset && "touched" in field.dataset))) continue;
      shown.replaceChildren(...said.childNodes);
      if (field && field.setAttribute) {
        if (shown.textContent) field.setAttribute("aria-invalid", "true");
        else field.removeAttribute("aria-invalid");
      }
    }
  }
  function together(form) {
    for (const field of all("[data-with]", form)) {
      const [name, value] = field.dataset.with.split("=");
      field.disabled = form.elements[name].value !== value;
    }
  }
  function confirm(form) {
    const wrong = all("[data-confirm]", form).some((field) => field.value !== field.dataset.confirm);
    for (const button of all("button.danger", form)) button.disabled = wrong;
  }

  function prepare(root) {
    for (const form of all("form[data-filter]", root)) {
      const soon = later(200, () => filter(form));
      form.addEventListener("input", soon);
      form.addEventListener("submit", (event) => { event.preventDefault(); filter(form); });
      for (const button of all("button", form)) button.hidden = true;
    }
    for (const form of all("form[data-check]", root)) {
      const soon = later(350, () => check(form));
      together(form);
      form.addEventListener("input", (event) => { event.target.dataset.touched = ""; together(form); });
      form.addEventListener("change", soon);
    }
    for (const field of all("[data-confirm]", root)) {
      confirm(field.form);
      field.addEventListener("input", () => confirm(field.form));
    }
    for (const list of all("[data-tail]", root)) list.parentElement.scrollTop = list.parentElement.scrollHeight;
  }
  prepare(document);

  // ---- small manners ----
  const current = document.querySelector(".rail [aria-current]");
  if (current) current.scrollIntoView({ block: "nearest", inline: "center" });
  addEventListener("keydown", (event) => {
    const open = document.querySelector("details.act[open]");
    if (event.key === "Escape" && open) { open.open = false; open.firstElementChild.focus(); }
    const search = document.querySelector("[data-search]");
    if (event.key === "/" && search && !event.target.closest("input, select, textarea")) { event.preventDefault(); search.focus(); }
  });
  addEventListener("click", (event) => {
    for (const menu of all("details.act[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  const units = [[60, 1, "s"], [3600, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "d"]];
  setInterval(() => {
    for (const time of all("time[datetime]")) {
      if (!time.textContent.endsWith(" ago")) continue;
      const past = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
      const [, unit, word] = units.find(([end]) => past < end);
      const text = `${Math.floor(past / unit)} ${word} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  }, 10000);
})();
