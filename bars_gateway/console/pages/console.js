// Shows what has changed, without loading the page again. Everything works without it.
//
//   /live says "changed" ─► this page is asked for once more ─► its parts that differ take the
//                                                                place of those that are shown
//
// A part in which somebody is (its focus, a marked text) waits until they have left it. Forms are
// in no such part. A page that nobody looks at asks for nothing.
"use strict";
(function () {
  const said = document.getElementById("live-said");
  const state = document.getElementById("live-state");
  let stream = null;
  let asking = false;
  let again = false;
  let waiting = null; // the newest page, where a part of it waits

  function isBusy(part) {
    const marked = document.getSelection();
    return part.contains(document.activeElement)
      || (marked && !marked.isCollapsed && marked.containsNode(part, true));
  }

  function replace(part, fresh) {
    const opened = Array.from(part.querySelectorAll("details"), (each) => each.open);
    const scrolled = Array.from(part.querySelectorAll(".wide"), (each) => each.scrollLeft);
    part.replaceWith(document.adoptNode(fresh));
    fresh.querySelectorAll("details").forEach((each, at) => { each.open = Boolean(opened[at]); });
    fresh.querySelectorAll(".wide").forEach((each, at) => { each.scrollLeft = scrolled[at] || 0; });
  }

  function headline() {
    const found = document.getElementById("now");
    return found ? found.textContent : "";
  }

  function show(page) {
    const before = headline();
    waiting = null;
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.outerHTML === part.outerHTML) continue;
      if (isBusy(part)) {
        waiting = page;
      } else {
        replace(part, document.importNode(fresh, true));
      }
    }
    document.title = page.title;
    if (headline() !== before) said.textContent = headline();
  }

  async function ask() {
    again = asking;
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "yes" } });
      if (new URL(answer.url).pathname === "/log-in") {
        over("logged-out");
      } else if (answer.ok) {
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch (error) {
      state.textContent = "Not live: the gateway does not answer";
    } finally {
      asking = false;
    }
    if (again) ask();
  }

  function over(why) {
    if (why === "stopping") {
      state.textContent = "Not live: the gateway stops"; // and is asked again until it is back
      return;
    }
    close();
    state.textContent = "Not live any more: you are logged out";
  }

  function close() {
    if (stream) stream.close();
    stream = null;
  }

  function open() {
    close();
    stream = new EventSource("/live");
    stream.addEventListener("open", () => {
      state.textContent = "Live";
      ask(); // something may have changed since the page was made
    });
    stream.addEventListener("changed", ask);
    stream.addEventListener("over", (event) => over(event.data));
    stream.addEventListener("error", () => {
      if (state.textContent === "Live") state.textContent = "Not live: the gateway does not answer";
    });
  }

  document.addEventListener("focusout", () => setTimeout(() => { if (waiting) show(waiting); }, 0));
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
})();
