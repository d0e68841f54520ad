// The list of requests: rows that are made once, and then change only where something changed.

import { byId, element, setAttribute, setText } from './dom.js';
import {
  formatBytes, formatClock, formatDuration, formatMoment, statusClass, statusWord, target,
} from './format.js';

/** The table. `onOpen` gets the id of the request that was chosen. */
export class RequestTable {
  #body = byId('rows');
  #rows = new Map();
  #onOpen;
  #opened = null;
  #current = null; // the row that Tab leads to

  constructor({ onOpen }) {
    this.#onOpen = onOpen;
    this.#body.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row && getSelection().isCollapsed) this.#open(row.dataset.id);
    });
    this.#body.addEventListener('keydown', (event) => this.#onKey(event));
    this.#body.addEventListener('focusin', (event) => this.#makeCurrent(event.target.closest('tr')));
  }

  /** Show these summaries in this order. */
  show(summaries) {
    const shown = new Set(summaries.map((summary) => summary.id));
    const hadFocus = this.#body.contains(document.activeElement);
    for (const [id, row] of this.#rows) {
      if (shown.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    let place = this.#body.firstElementChild;
    for (const summary of summaries) {
      let row = this.#rows.get(summary.id);
      if (!row) {
        row = new Row(summary.id, summary.id === this.#opened);
        this.#rows.set(summary.id, row);
      }
      row.show(summary);
      if (place === row.element) place = place.nextElementSibling;
      else this.#body.insertBefore(row.element, place);
    }
    // Who has not begun to choose begins at the top.
    const isChoosing = hadFocus || this.#opened !== null;
    if (!isChoosing || !this.#current?.isConnected) this.#makeCurrent(this.#body.firstElementChild);
    if (hadFocus && !this.#body.contains(document.activeElement)) this.focus();
  }

  /** Mark the request whose detail is open, or none. */
  mark(id) {
    for (const each of [this.#opened, id]) {
      const row = this.#rows.get(each);
      if (row) setAttribute(row.element, 'aria-selected', String(each === id));
    }
    this.#opened = id;
  }

  /** Put the keyboard onto the row that was left. */
  focus() {
    this.#current?.focus();
  }

  #open(id) {
    this.#makeCurrent(this.#rows.get(id)?.element);
    this.#onOpen(id);
  }

  #makeCurrent(row) {
    if (!row || row === this.#current) return;
    if (this.#current) this.#current.tabIndex = -1;
    row.tabIndex = 0;
    this.#current = row;
  }

  #onKey(event) {
    const row = event.target.closest('tr');
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.#open(row.dataset.id);
      return;
    }
    const next = this.#nextRow(row, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
    if (this.#opened !== null) this.#open(next.dataset.id);
  }

  #nextRow(row, key) {
    const rows = this.#body.rows;
    const at = row.sectionRowIndex;
    switch (key) {
      case 'ArrowDown': return rows[Math.min(at + 1, rows.length - 1)];
      case 'ArrowUp': return rows[Math.max(at - 1, 0)];
      case 'PageDown': return rows[Math.min(at + PAGE, rows.length - 1)];
      case 'PageUp': return rows[Math.max(at - PAGE, 0)];
      case 'Home': return rows[0];
      case 'End': return rows[rows.length - 1];
      default: return null;
    }
  }
}

class Row {
  #summary = null;

  constructor(id, isSelected) {
    const cell = (name, ...children) =>
      element('td', { class: `cell-${name}`, role: 'gridcell' }, ...children);
    this.status = element('span', { class: 'status' });
    this.path = element('bdi', { class: 'path' });
    this.query = element('bdi', { class: 'query' });
    this.note = element('span', { class: 'note', hidden: true });
    this.method = cell('method');
    this.type = cell('type');
    this.visitor = cell('visitor');
    this.size = cell('size');
    this.took = cell('took');
    this.at = cell('at');
    this.element = element(
      'tr', { data: { id }, tabindex: -1, role: 'row', 'aria-selected': String(isSelected) },
      cell('status', this.status), this.method,
      cell('path', this.note, element('span', { class: 'target' }, this.path, this.query)),
      this.type, this.visitor, this.size, this.took, this.at,
    );
  }

  show(summary) {
    if (summary === this.#summary) return;
    this.#summary = summary;
    setText(this.status, statusWord(summary));
    setAttribute(this.status, 'class', `status class-${statusClass(summary)}`);
    setText(this.method, summary.kind === 'websocket' ? 'WS' : summary.method);
    setText(this.path, summary.path);
    setText(this.query, summary.query ? `?${summary.query}` : '');
    setAttribute(this.path.parentElement, 'title', target(summary));
    this.note.hidden = summary.replay_of === null;
    setText(this.note, summary.replay_of === null ? '' : `replay of ${summary.replay_of}`);
    setText(this.type, (summary.content_type ?? '').split(';')[0]);
    setText(this.visitor, [summary.visitor, summary.country].filter(Boolean).join(' '));
    setText(this.size, formatBytes(summary.sent));
    setText(this.took, formatDuration(summary.elapsed));
    setText(this.at, formatClock(summary.started));
    setAttribute(this.at, 'title', formatMoment(summary.started));
  }
}

const PAGE = 10; // rows
