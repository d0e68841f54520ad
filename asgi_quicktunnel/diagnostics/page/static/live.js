// What the tunnel does now, as messages: over a WebSocket, or by asking again and again where the
// server can't have one.

import { addressOf, read } from './api.js';

/**
 * Keeps the page fed until it is left.
 *
 * `onMessage` gets the messages of `/live`, `onLink` one of "connecting", "live", "polling", "silent"
 * (with the seconds since the last message: the server is there and busy, or at a breakpoint), "lost"
 * (with the seconds until the next try).
 */
export class Live {
  #onMessage;
  #onLink;
  #failures = 0;
  #wasOpen = false;
  #polling = null;
  #retry = null;
  #revision = null;
  #heardAt = null; // ms; of the last message on a WebSocket that is open

  constructor({ onMessage, onLink }) {
    this.#onMessage = onMessage;
    this.#onLink = onLink;
    // Who comes back to a page that waits does not want to wait for it.
    const hurry = () => document.visibilityState === 'visible' && this.#retry && this.#connect();
    document.addEventListener('visibilitychange', hurry);
    addEventListener('online', hurry);
    setInterval(() => this.#watch(), WATCH);
  }

  start() {
    this.#onLink('connecting', 0);
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    const address = addressOf('live');
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(address);
    const slow = setTimeout(() => socket.close(), OPENING);
    socket.addEventListener('message', (event) => {
      if (this.#heardAt === null || this.#isSilent()) this.#opened();
      this.#heardAt = performance.now();
      this.#onMessage(JSON.parse(event.data));
    });
    socket.addEventListener('open', () => clearTimeout(slow));
    socket.addEventListener('close', () => {
      clearTimeout(slow);
      this.#heardAt = null;
      this.#closed();
    });
  }

  #opened() {
    this.#wasOpen = true;
    this.#failures = 0;
    this.#stopPolling();
    this.#onLink('live', 0);
  }

  #isSilent() {
    return performance.now() - this.#heardAt > SILENCE;
  }

  #watch() {
    if (this.#heardAt === null || !this.#isSilent()) return;
    this.#onLink('silent', (performance.now() - this.#heardAt) / 1000);
  }

  async #closed() {
    this.#failures += 1;
    if (!this.#wasOpen && this.#failures >= 2) {
      // It never worked: is there a server that has no WebSockets, or none at all?
      if (this.#polling || (await this.#poll())) {
        this.#startPolling();
        this.#retry = setTimeout(() => this.#connect(), RETRY_BESIDE_POLLING);
        return;
      }
    }
    const wait = Math.min(FIRST_RETRY * 2 ** Math.min(this.#failures - 1, 10), LONGEST_RETRY);
    this.#onLink(this.#wasOpen || this.#failures > 1 ? 'lost' : 'connecting', wait / 1000);
    this.#retry = setTimeout(() => this.#connect(), wait * (0.75 + Math.random() / 2));
  }

  #startPolling() {
    this.#polling ??= setInterval(async () => {
      if (await this.#poll()) return;
      this.#stopPolling();
      clearTimeout(this.#retry);
      this.#onLink('lost', FIRST_RETRY / 1000);
      this.#retry = setTimeout(() => this.#connect(), FIRST_RETRY);
    }, POLL);
  }

  #stopPolling() {
    clearInterval(this.#polling);
    this.#polling = null;
    this.#revision = null;
  }

  /** Ask once; whether somebody answered. */
  async #poll() {
    try {
      const signal = AbortSignal.timeout(ANSWERING);
      const status = await read('status', signal);
      this.#onMessage({ type: 'status', status });
      this.#onMessage({ type: 'traffic', traffic: await read('traffic', signal), reset: true });
      const answer = await read('requests?limit=500', signal);
      if (answer.revision !== this.#revision) {
        this.#revision = answer.revision;
        this.#onMessage({ ...answer, type: 'requests', reset: true });
      }
    } catch {
      return false;
    }
    this.#onLink('polling', 0);
    return true;
  }
}

const OPENING = 5000; // ms until a WebSocket that does not open is given up
const ANSWERING = 5000; // ms for one round of asking
const WATCH = 500; // ms
const SILENCE = 3000; // ms; a status comes each second
const POLL = 2000; // ms between two rounds
const FIRST_RETRY = 250; // ms; a server under a reloader is back soon
const LONGEST_RETRY = 5000; // ms
const RETRY_BESIDE_POLLING = 60000; // ms; each try is a warning in the log of such a server
