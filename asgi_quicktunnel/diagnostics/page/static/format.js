// Figures as people read them. Pure.

const count = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit', minute: '2-digit', second: '2-digit',
});
const moment = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** 1204 as "1,204". */
export function formatCount(number) {
  return count.format(number);
}

/** "1 request", "2 requests". */
export function formatNumberOf(number, noun) {
  return `${formatCount(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/** Bytes in the unit that fits; 1 KiB is 1,024. */
export function formatBytes(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  let size = bytes;
  let unit = -1;
  do {
    size /= 1024;
    unit += 1;
  } while (size >= 1023.95 && unit < UNITS.length - 1);
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

/** Seconds as a duration: "0.4 ms", "12 ms", "1.23 s", "2 min 5 s"; "–" for null. */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0.00005) return '0 ms';
  if (seconds < 0.00995) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Seconds as an age, roughly: "8 s", "5 min", "3 h 20 min", "2 d 4 h". */
export function formatAge(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Seconds since the epoch as the time of day, here. */
export function formatClock(epoch) {
  return clock.format(epoch * 1000);
}

/** Seconds since the epoch as day and time, here. */
export function formatMoment(epoch) {
  return moment.format(epoch * 1000);
}

/** A rate per second: "0", "0.1", "3.4", "120". */
export function formatRate(rate) {
  if (rate === 0) return '0';
  return rate < 10 ? String(Number(rate.toFixed(1))) : formatCount(Math.round(rate));
}

/** What a status is filed under: "2xx" for 204; "open" or "reset" where there is none. */
export function statusClass(summary) {
  if (summary.state === 'reset') return 'reset';
  if (summary.status === null) return 'open';
  return `${Math.floor(summary.status / 100)}xx`;
}

/** What stands for the status of a request in one word. */
export function statusWord(summary) {
  if (summary.status !== null) return String(summary.status);
  return summary.state === 'open' ? 'open' : 'reset';
}

/** What was asked for: path and query as they came. */
export function target(summary) {
  return summary.query ? `${summary.path}?${summary.query}` : summary.path;
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];
