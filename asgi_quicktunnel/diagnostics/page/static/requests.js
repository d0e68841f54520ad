// The requests that the page knows, and which of them are shown.

import { statusClass } from './format.js';

/** Summaries by id, newest first. A summary that did not change stays the same object. */
export class Requests {
  #byId = new Map();
  #ordered = [];

  /** All, newest first. */
  get all() {
    return this.#ordered;
  }

  get(id) {
    return this.#byId.get(id) ?? null;
  }

  /** Take a message of type "requests" in. */
  apply(message) {
    const told = new Map(message.requests.map((summary) => [summary.id, summary]));
    if (message.reset) {
      for (const id of this.#byId.keys()) if (!told.has(id)) this.#byId.delete(id);
    }
    for (const [id, summary] of told) {
      const known = this.#byId.get(id);
      if (!known || JSON.stringify(known) !== JSON.stringify(summary)) this.#byId.set(id, summary);
    }
    let ordered = [...this.#byId.values()].sort((one, other) => Number(other.id) - Number(one.id));
    if (message.oldest !== undefined) {
      // Those before it have left the server's memory, or were cleared.
      const oldest = message.oldest === null ? Infinity : Number(message.oldest);
      ordered = ordered.filter((summary) => Number(summary.id) >= oldest);
    }
    this.#ordered = ordered.slice(0, MOST);
    if (this.#ordered.length !== this.#byId.size) {
      this.#byId = new Map(this.#ordered.map((summary) => [summary.id, summary]));
    }
  }
}

/** Which requests are shown; `matches` is the ids that the server found the text in, or null. */
export class Filter {
  method = '';
  status = '';
  path = '';
  matches = null;

  get isOn() {
    return Boolean(this.method || this.status || this.path || this.matches);
  }

  accepts(summary) {
    return (
      (!this.method || summary.method === this.method) &&
      (!this.status || acceptsStatus(this.status, summary)) &&
      (!this.path || `${summary.path}?${summary.query}`.toLowerCase().includes(this.path)) &&
      (this.matches === null || this.matches.has(summary.id))
    );
  }
}

function acceptsStatus(wanted, summary) {
  if (/^\d{3}$/.test(wanted)) return summary.status === Number(wanted);
  if (/^\d+$/.test(wanted)) return String(summary.status ?? '').startsWith(wanted);
  return statusClass(summary) === wanted;
}

const MOST = 500; // as many as the server keeps
