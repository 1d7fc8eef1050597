// What a page does by itself: it goes on as things happen, and follows the keyboard. Without this
// script everything else works the same.
"use strict";
(() => {
  const one = (what, from = document) => from.querySelector(what);
  const all = (what, from = document) => [...from.querySelectorAll(what)];

  // Markup comes from the server, where every text in it was escaped; the page's policy runs no script
  // that could be in it.
  const parsed = (text) => {
    const box = document.createElement("template");
    box.innerHTML = text;
    return box.content;
  };

  const when = (row) => one("time", row)?.getAttribute("datetime") || "";

  const follow = (box) => {
    const source = new EventSource(box.dataset.live);
    const max = Number(box.dataset.max || 2000);
    source.onopen = () => {
      document.body.classList.add("live-on");
      document.body.classList.remove("live-lost");
    };
    source.onerror = () => document.body.classList.add("live-lost");
    source.addEventListener("row", (event) => {
      all(".empty, .none", box.parentElement).forEach((none) => none.remove());
      const row = parsed(event.data);
      // What was sent again, because nobody knows that it came.
      const id = row.firstElementChild?.dataset.id;
      if (id && one(`[data-id="${CSS.escape(id)}"]`, box)) return;
      if (box.dataset.at === "start") {
        // What somebody reads stays where it is.
        const before = box.scrollHeight;
        // By their times: what is sent again may hold older ones than the page began with.
        const at = when(row.firstElementChild);
        const older = [...box.children].find((other) => !at || (when(other) && when(other) <= at));
        box.insertBefore(row, older ?? null);
        while (box.children.length > max) box.lastElementChild.remove();
        if (window.scrollY > 200) window.scrollBy(0, box.scrollHeight - before);
      } else {
        const isAtEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 30;
        box.append(row);
        while (box.children.length > max) box.firstElementChild.remove();
        if (isAtEnd) box.scrollTop = box.scrollHeight;
      }
    });
    source.addEventListener("all", (event) => box.replaceChildren(parsed(event.data)));
    if (box.dataset.at === "end") box.scrollTop = box.scrollHeight;
    addEventListener("pagehide", () => source.close());
  };

  const refresh = (box) => {
    document.body.classList.add("live-on");
    const again = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(box.dataset.refresh, { credentials: "same-origin" });
          if (!answer.ok) throw new Error(String(answer.status));
          box.replaceChildren(parsed(await answer.text()));
          document.body.classList.remove("live-lost");
        } catch {
          document.body.classList.add("live-lost");
        }
      }
      setTimeout(again, Number(box.dataset.every) * 1000);
    };
    setTimeout(again, Number(box.dataset.every) * 1000);
  };

  all("[data-live]").forEach(follow);
  all("[data-refresh]").forEach(refresh);

  // Choosing is enough; the button is for pages without a script.
  all("[data-sends]").forEach((choice) => {
    all("button", choice.form).forEach((button) => button.remove());
    choice.addEventListener("change", () => choice.form.requestSubmit());
  });

  one("nav [aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" });

  const move = (step) => {
    const rows = all("[data-rows] > *");
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.classList.contains("at"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    rows.forEach((row) => row.classList.toggle("at", row === next));
    const target = one("a.row, summary", next);
    if (target) target.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };

  let going = 0;
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (event.key === "Escape" && typing) return event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (going && Date.now() - going < 1500) {
      going = 0;
      document.body.classList.remove("keys-on");
      const to = one(`[data-go="${CSS.escape(event.key)}"]`);
      if (to) { event.preventDefault(); to.click(); }
      return;
    }
    const acts = {
      j: () => move(1),
      k: () => move(-1),
      g: () => { going = Date.now(); document.body.classList.add("keys-on"); },
      "/": () => one("[data-filter]")?.focus(),
      "?": () => one("#keys")?.showModal(),
      n: () => one("[data-next]")?.click(),
    };
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
