// The dialog for a request: fields, then its plan, then the question, then what came of it.
//
// Nothing is done before the plan has been shown and the button under it has been pressed; and when
// a field changes after that, the plan is gone and has to be looked at again.

import { ask, keepToken, token } from "./api.js";
import { h, render } from "./dom.js";
import { command, sign } from "./parts.js";
import { REQUESTS, bodyOf, choices, formOf } from "./requests.js";

export class Forms {
  constructor(dialog, status) {
    this.dialog = dialog;
    this.status = status; // a function: what is known now, {pair, status}
    this.state = null;
    dialog.addEventListener("close", () => { this.state = null; render(dialog); });
  }

  open(name, values = {}) {
    const { pair, status } = this.status();
    const filled = {};
    for (const field of REQUESTS[name].fields) {
      const offered = choices(field, status);
      filled[field.name] = values[field.name] ?? field.first?.(status) ?? offered[0] ?? (field.kind === "check" ? false : "");
    }
    this.state = { name, pair, values: filled, phase: "fields", needsToken: false, answer: null, error: "", number: 0 };
    render(this.dialog);
    this.draw();
    this.dialog.showModal();
    this.plan();
  }

  /** The form for a command; null where there is none. */
  opener(text) {
    const form = formOf(text);
    return form && (() => this.open(form.name, form.values));
  }

  askToken() {
    this.state = { name: null, phase: "token", needsToken: true, error: "" };
    render(this.dialog);
    this.draw();
    this.dialog.showModal();
  }

  set(name, value) {
    this.state.values = { ...this.state.values, [name]: value };
    this.plan();
  }

  async plan() {
    await this.send(true, "planning", "plan");
  }

  async perform() {
    await this.send(false, "doing", "done");
  }

  async send(dryRun, during, after) {
    const mine = this.state;
    const number = mine.number += 1;
    const left = () => this.state !== mine || mine.number !== number;
    if (!token()) {
      Object.assign(mine, { phase: "fields", answer: null, error: "", needsToken: true });
      this.draw();
      return;
    }
    Object.assign(mine, { phase: during, answer: null, error: "", needsToken: false });
    this.draw();
    try {
      const answer = await ask(mine.pair, mine.name, { dry_run: dryRun, ...bodyOf(mine.name, mine.values) });
      if (left()) return;
      Object.assign(mine, { phase: after, answer });
    } catch (error) {
      if (left()) return;
      const { needsToken = false, message } = error;
      Object.assign(mine, { phase: "fields", needsToken, error: message });
    }
    this.draw();
  }

  draw() {
    const { state } = this;
    if (!state) return;
    const request = REQUESTS[state.name];
    render(this.dialog, h("form", { class: "request", method: "dialog", key: state.name ?? "token",
      on: { submit: (event) => this.submitted(event) } },
    h("header", { class: "panel-head" }, h("h2", { id: "dialog-title" }, request ? request.title : "Token"),
      h("button", { type: "button", class: "quiet", "aria-label": "Close", on: { click: () => this.dialog.close() } }, "✕")),
    request ? h("p", { class: "faint" }, request.about) : null,
    request ? h("div", { class: "fields" }, request.fields.map((field) => this.field(field))) : null,
    state.needsToken ? this.tokenField() : null,
    h("div", { class: "outcome", "aria-live": "polite" }, this.outcome()),
    h("footer", {}, this.buttons(request))));
  }

  field(field) {
    const { values, phase } = this.state;
    const { status } = this.status();
    const shared = { name: field.name, disabled: phase === "doing" || phase === "done" };
    const changed = (event) => this.set(field.name, event.target.value);
    const key = `field-${field.name}`;
    if (field.kind === "check") {
      return h("label", { class: `check ${field.danger ? "danger" : ""}`, key },
        h("input", { type: "checkbox", checked: values[field.name], ...shared, on: { change: (event) => this.set(field.name, event.target.checked) } }), field.label);
    }
    if (field.kind === "node" || field.kind === "choice") {
      const offered = [...new Set([...choices(field, status), ...(values[field.name] ? [values[field.name]] : [])])];
      return h("label", { key }, h("span", {}, field.label), h("select", { ...shared, on: { change: changed } },
        offered.map((name) => h("option", { value: name, selected: name === values[field.name] }, name))));
    }
    const seconds = field.kind === "seconds";
    return h("label", { key }, h("span", {}, field.label), h("input", { type: "text", inputmode: seconds ? "decimal" : "text", autocomplete: "off",
      placeholder: field.hint ?? "", value: values[field.name], ...shared, on: { change: changed } }));
  }

  tokenField() {
    return h("div", { class: "token", key: "token" },
      h("label", {}, h("span", {}, "Token"), h("input", { type: "password", name: "token", autocomplete: "off", autofocus: true, required: true, spellcheck: "false",
        ref: (element) => queueMicrotask(() => element.focus()) })),
      h("p", { class: "faint" }, "It is kept until this tab is closed, and nowhere else. One is made on the supervisor's machine with ",
        h("code", {}, "myha api token add NAME --role operate"), "."));
  }

  outcome() {
    const { phase, answer, error } = this.state;
    if (error) return h("p", { class: "why" }, error);
    if (phase === "planning") return h("p", { class: "faint" }, h("span", { class: "spin", "aria-hidden": "true" }), "asking for the plan…");
    if (phase === "doing") return h("p", {}, h("span", { class: "spin", "aria-hidden": "true" }), "under way…");
    if (!answer) return null;
    if (!answer.ok) {
      const open = answer.override && this.opener(answer.override);
      return h("div", { class: "refusal" }, h("p", {}, sign("warn"), h("b", {}, "Refused: "), answer.text),
        answer.override ? h("p", {}, "To override, once you know what that costs: ", command(answer.override, open && (() => this.reopen(answer.override)))) : null);
    }
    if (phase === "done") return h("p", { class: "done" }, sign("ok"), answer.text);
    if (!answer.plan) return h("p", {}, answer.text);
    return h("div", { class: "plan" }, h("p", {}, h("b", {}, "The plan: "), answer.plan.sentence),
      h("ol", {}, answer.plan.steps.map((step) => h("li", {}, typeof step === "string" ? step : step.text))));
  }

  reopen(text) {
    this.dialog.close();
    // The dialog's close event comes first, and clears what was there.
    setTimeout(() => this.opener(text)?.(), 0);
  }

  buttons(request) {
    const { phase, answer, needsToken } = this.state;
    const close = (word) => h("button", { type: "button", key: "close", on: { click: () => this.dialog.close() } }, word);
    if (needsToken) return [close("Cancel"), h("button", { type: "submit", key: "token", class: "primary" }, "Use this token")];
    if (phase === "done") return [close("Close")];
    const ready = phase === "plan" && answer?.ok;
    return [close("Cancel"),
      phase === "fields" ? h("button", { type: "submit", key: "again" }, "Ask for the plan") : null,
      h("button", { type: "submit", key: "go", class: request.danger ? "primary danger" : "primary", disabled: !ready }, request.verb)];
  }

  submitted(event) {
    event.preventDefault();
    const { phase, needsToken, answer, name } = this.state;
    if (needsToken) {
      keepToken(new FormData(event.target).get("token").trim());
      this.tokenKept?.();
      if (name) this.plan();
      else this.dialog.close();
    } else if (phase === "plan" && answer?.ok) this.perform();
    else if (phase === "fields") this.plan();
  }
}
