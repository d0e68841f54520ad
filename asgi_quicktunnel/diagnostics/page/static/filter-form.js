// The row of fields above the table.

import { findText } from './api.js';
import { byId } from './dom.js';

/** Keeps a `Filter` as the fields say; `onChange` is called when it is another one. */
export class FilterForm {
  #filter;
  #onChange;
  #form = byId('filter');
  #asking = null; // AbortController of the search under way
  #timer = null;
  #text = '';
  #due = 0;

  constructor(filter, { onChange }) {
    this.#filter = filter;
    this.#onChange = onChange;
    this.#form.addEventListener('input', () => this.#read());
    this.#form.addEventListener('submit', (event) => event.preventDefault());
    this.#form.addEventListener('reset', () => setTimeout(() => this.#read())); // it is to come
    this.#form.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !event.target.value) return;
      event.stopPropagation(); // the detail stays open
      event.target.value = '';
      this.#read();
    });
  }

  /** Put the keyboard into the first field. */
  focus() {
    const field = byId('filter-path');
    field.focus();
    field.select();
  }

  /** Offer the methods that were seen. */
  offerMethods(summaries) {
    const field = byId('filter-method');
    const known = new Set([...field.options].map((option) => option.value));
    for (const { method } of summaries) {
      if (known.has(method)) continue;
      known.add(method);
      field.append(new Option(method, method));
    }
  }

  /** Something came or changed: a search for text may find other requests now. */
  refresh() {
    if (!this.#text || this.#timer) return;
    this.#searchIn(Math.max(0, this.#due - performance.now()));
  }

  #read() {
    this.#filter.method = byId('filter-method').value;
    this.#filter.status = byId('filter-status').value.trim().toLowerCase();
    this.#filter.path = byId('filter-path').value.trim().toLowerCase();
    const text = byId('filter-text').value.trim();
    if (text !== this.#text) {
      this.#text = text;
      this.#asking?.abort();
      clearTimeout(this.#timer);
      this.#timer = null;
      if (text) this.#searchIn(TYPING);
      else this.#filter.matches = null;
    }
    this.#onChange();
  }

  #searchIn(wait) {
    this.#timer = setTimeout(async () => {
      this.#timer = null;
      this.#due = performance.now() + BETWEEN;
      this.#asking = new AbortController();
      const { signal } = this.#asking;
      try {
        const matches = await findText(this.#text, signal);
        if (signal.aborted) return;
        this.#filter.matches = matches;
        this.#onChange();
      } catch {
        // The server is away or slow: what was found before stays, and the next change asks again.
      }
    }, wait);
  }
}

const TYPING = 250; // ms
const BETWEEN = 1000; // ms; each search reads every body that the server keeps
