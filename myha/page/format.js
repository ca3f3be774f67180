// Numbers, times and durations as text. Pure.

/** A duration of so many seconds, in at most two units: "0.21 s", "3 min 4 s", "2 d 5 h". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "?";
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[first];
  const rest = units[first + 1];
  const whole = Math.floor(seconds / size);
  const more = rest ? Math.floor((seconds - whole * size) / rest[1]) : 0;
  return more ? `${whole} ${name} ${more} ${rest[0]}` : `${whole} ${name}`;
}

export function milliseconds(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "?";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return duration(ms / 1000);
}

/** A count with thin spaces between thousands. */
export function count(number) {
  return Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A rate or latency for an axis: three digits at most. */
export function short(number) {
  if (number >= 10000) return `${Math.round(number / 1000)}k`;
  if (number >= 1000) return `${(number / 1000).toFixed(1)}k`;
  if (number >= 10 || number === 0) return String(Math.round(number));
  return number.toFixed(number < 1 ? 2 : 1);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** The time of day of a moment (seconds since the epoch), in the reader's own zone. */
export function clock(wall, withMilliseconds = false) {
  const at = new Date(wall * 1000);
  const text = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return withMilliseconds ? `${text}.${pad(at.getMilliseconds(), 3)}` : text;
}

/** Day and time, the day only where it is not today's. */
export function moment(wall, now = Date.now() / 1000) {
  const at = new Date(wall * 1000);
  const same = at.toDateString() === new Date(now * 1000).toDateString();
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} `;
  return (same ? "" : day) + clock(wall);
}

export function utc(wall) {
  return new Date(wall * 1000).toISOString().replace("T", " ");
}

/** A value of a row as it is shown: NULL apart from the text "NULL", binary as it came. */
export function cell(value) {
  if (value === null || value === undefined) return "NULL";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
