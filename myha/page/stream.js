// The stream of events, and whether what is shown is old.
//
// It is read with fetch and not with EventSource: that can send no token, and hides the heartbeats
// by which a connection that has gone silent is told from a pair where nothing happens.

import { address, headers } from "./api.js";

const SILENT_SECONDS = 7; // a sign of life comes every 5
const RETRY_SECONDS = [0.3, 1, 2];
// A browser has six connections to a server, for all its tabs: one that nobody sees gives its back.
const HIDDEN_SECONDS = 60;

export class Stream {
  /** `take(kind, data)` gets each event, `changed(state)` how the stream is: {live, why, heardAt};
   * `begun()` is called when a connection stands, so that nothing told from then on is missed. */
  constructor(take, changed, begun) {
    this.take = take;
    this.begun = begun;
    this.changed = changed;
    this.pair = null;
    this.heardAt = null; // seconds since the epoch
    this.live = null; // null until it is known
    this.why = "";
    this.failures = 0;
    this.abort = null;
    this.timer = null;
    this.hiddenSince = null;
    document.addEventListener("visibilitychange", () => this.seenOrNot());
    addEventListener("online", () => this.again());
    addEventListener("offline", () => this.again());
    setInterval(() => this.watch(), 1000);
  }

  /** Begin, or begin anew, for one pair or for all (null). */
  start(pair) {
    this.pair = pair;
    this.again();
  }

  again() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.failures = 0;
    this.connect();
  }

  async connect() {
    const mine = new AbortController();
    this.abort = mine;
    let why = "the supervisor ended the connection";
    try {
      const path = address("stream") + (this.pair === null ? "?only=pairs" : `?pair=${encodeURIComponent(this.pair)}`);
      const answer = await fetch(path, {
        headers: headers({ Accept: "text/event-stream" }),
        cache: "no-store",
        redirect: "error",
        signal: mine.signal,
      });
      if (answer.ok) {
        this.heard();
        this.begun();
        await this.readAll(answer.body.getReader());
      }
      if (answer.status === 401 || answer.status === 403) why = "reading needs a token";
      else if (!answer.ok) why = `the supervisor answered ${answer.status}`;
    } catch {
      if (this.heardAt === null || this.failures) why = "the supervisor does not answer";
    }
    if (this.abort !== mine) return; // begun anew meanwhile
    this.lost(why);
    const seconds = RETRY_SECONDS[Math.min(this.failures, RETRY_SECONDS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), seconds * 1000);
  }

  async readAll(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heard();
      const events = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      rest = events.pop();
      for (const one of events) this.event(one);
    }
  }

  event(text) {
    let kind = "message";
    const data = [];
    for (const line of text.split(/\r?\n/)) {
      if (line.startsWith("event:")) kind = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5));
    }
    if (!data.length) return;
    try {
      this.take(kind, JSON.parse(data.join("\n")));
    } catch (error) {
      reportError(error); // a defect of the page, and no end of the stream
    }
  }

  heard() {
    this.heardAt = Date.now() / 1000;
    this.failures = 0;
    if (this.live !== true) this.say(true, "");
  }

  lost(why) {
    if (this.live !== false || this.why !== why) this.say(false, why);
  }

  watch() {
    const now = Date.now() / 1000;
    if (this.hiddenSince !== null && now - this.hiddenSince > HIDDEN_SECONDS && this.abort) {
      this.pause();
    } else if (this.live && now - this.heardAt > SILENT_SECONDS) {
      this.lost("nothing was heard from the supervisor");
      this.again(); // a connection that hangs does not come back by itself
    }
  }

  pause() {
    clearTimeout(this.timer);
    const mine = this.abort;
    this.abort = null;
    mine.abort();
    this.say(false, "nobody looks at this page");
  }

  seenOrNot() {
    this.hiddenSince = document.hidden ? Date.now() / 1000 : null;
    if (!document.hidden && this.abort === null) this.again();
  }

  say(live, why) {
    this.live = live;
    this.why = why;
    this.changed({ live, why, heardAt: this.heardAt });
  }
}
