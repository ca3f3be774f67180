// The supervisor's HTTP API: reading, asking, and the token that asking needs.
//
// The token is kept for as long as this tab is open, and never longer (sessionStorage).

const BASE = "api/v1";
const TOKEN = "myha-token";
const READ_SECONDS = 15;
// A switchover waits for the standby to be close enough behind, and a fence for a silent server.
const ASK_SECONDS = 180;

export function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function keepToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

export function headers(more = {}) {
  const held = token();
  return held ? { ...more, Authorization: `Bearer ${held}` } : more;
}

export function address(...parts) {
  return [BASE, ...parts.map(encodeURIComponent)].join("/");
}

/** An answer that is no success; `status` is HTTP's, 0 where nobody answered. */
export class AnswerError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }

  get needsToken() {
    return this.status === 401 || this.status === 403;
  }
}

/** The JSON of an address. Throws AnswerError. */
export async function read(path, query = {}) {
  const words = new URLSearchParams(query).toString();
  const answer = await call(words ? `${path}?${words}` : path, {}, READ_SECONDS);
  const body = await bodyOf(answer);
  if (!answer.ok) throw new AnswerError(answer.status, sentenceOf(answer, body));
  return body;
}

/** What the supervisor says to a request: {ok, text, override, plan}. A refusal is an answer too.
 * Throws AnswerError where there is no answer of that kind. */
export async function ask(pair, name, asked) {
  const answer = await call(
    address("pairs", pair, name),
    {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(asked),
    },
    ASK_SECONDS,
  );
  const body = await bodyOf(answer);
  const told = answer.ok || answer.status === 409;
  if (told && typeof body?.ok === "boolean") return body;
  throw new AnswerError(answer.status, sentenceOf(answer, body));
}

async function call(path, options, seconds) {
  try {
    return await fetch(path, {
      ...options,
      headers: headers(options.headers),
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(seconds * 1000),
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new AnswerError(0, late ? `no answer within ${seconds} s` : "the supervisor does not answer");
  }
}

async function bodyOf(answer) {
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function sentenceOf(answer, body) {
  const told = body?.text ?? body?.detail;
  return typeof told === "string" ? told : `the answer was ${answer.status} ${answer.statusText}`;
}
