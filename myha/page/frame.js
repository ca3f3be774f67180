// What is around everything: the head with the pair's name, the state of the stream, the scheme.

import { keepToken, token } from "./api.js";
import { h } from "./dom.js";
import { clock, duration } from "./format.js";

const SCHEMES = ["auto", "light", "dark"];

export function head({ pair, several, forms, forgotten }) {
  return [
    h("a", { class: "home", href: "#/", key: "home", "aria-label": "myha, all pairs" }, h("img", { src: "icon.svg", alt: "", width: "22", height: "22" }), h("b", {}, "myha")),
    pair !== null ? h("span", { class: "crumb", key: "crumb" }, several ? h("a", { href: "#/" }, "all pairs") : null, several ? h("span", { "aria-hidden": "true" }, "›") : null, h("b", {}, pair)) : null,
    h("span", { class: "room", key: "room" }),
    h("button", { type: "button", class: "quiet", key: "token", on: { click: () => { if (token()) { keepToken(""); forgotten(); } else forms.askToken(); } } }, token() ? "Forget token" : "Token…"),
    h("button", { type: "button", class: "quiet", key: "scheme", on: { click: nextScheme }, title: "light, dark, or as your system has it" }, `Scheme: ${scheme()}`),
  ];
}

function scheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function nextScheme(event) {
  const chosen = SCHEMES[(SCHEMES.indexOf(scheme()) + 1) % SCHEMES.length];
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    if (chosen === "auto") localStorage.removeItem("myha-theme");
    else localStorage.setItem("myha-theme", chosen);
  } catch {
    // A browser that keeps nothing has it for this page only.
  }
  event.currentTarget.textContent = `Scheme: ${chosen}`;
}

/** `connection`: {live, why, heardAt} of the stream; `away`: {why, since}, where the supervisor does
 * not answer who serves this page. Whether what is shown is old, in words that stay on the screen while it is. */
export function freshness({ connection, away, now }) {
  if (connection.live === null) return h("p", { class: "fresh waiting" }, "connecting…");
  if (connection.live && !away) return h("p", { class: "fresh" }, h("span", { class: "dot", "aria-hidden": "true" }), "live");
  const of = connection.live && away ? away.since : connection.heardAt;
  const since = of === null ? "" : `What you see is of ${clock(of)}, ${duration(Math.max(0, now - of))} old. `;
  return h("p", { class: "fresh stale" }, h("b", {}, "Stale: "), `${connection.live && away ? away.why : connection.why}. `,
    h("span", { "aria-hidden": "true" }, since), "Trying again."); // the age is not read aloud each second
}
