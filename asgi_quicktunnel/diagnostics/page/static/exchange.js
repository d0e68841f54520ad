// One request and its answer, in tabs.

import { bodyView, pairsView } from './body.js';
import { button, element } from './dom.js';
import { Frames } from './frames.js';
import {
  formatBytes, formatDuration, formatMoment, statusClass, statusWord,
} from './format.js';

/** The view of one request; `show` takes it in again when more is known. */
export class Exchange {
  #name;
  #tabs;
  #panels = new Map();
  #buttons = new Map();
  #frames = null;
  #chosen;
  #looks = '';

  /** `name` sets ids apart where two are on the page; `heading` says which one it is, or "". */
  constructor(name, { heading = '', onTab = () => {} } = {}) {
    this.#name = name;
    this.onTab = onTab;
    this.head = element('div', { class: 'exchange-head' });
    this.#tabs = element('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts of the exchange' });
    this.#tabs.addEventListener('keydown', (event) => this.#onKey(event));
    this.place = element('div', { class: 'panels' });
    this.element = element('section', { class: 'exchange', 'aria-label': heading || 'Exchange' },
      heading && element('h3', { class: 'exchange-title' }, heading),
      this.head, this.#tabs, this.place);
  }

  /** The name of the tab that is open. */
  get tab() {
    return this.#chosen;
  }

  show(detail) {
    if (detail.frames && this.#frames) this.#frames.show(detail.frames);
    const { frames, ...rest } = detail;
    const looks = JSON.stringify(rest);
    if (looks === this.#looks) return;
    this.#looks = looks;
    this.head.replaceChildren(summaryView(detail));
    const parts = new Map();
    if (frames) {
      if (!this.#frames) {
        this.#frames = new Frames();
        this.#frames.show(frames);
      }
      parts.set('Frames', [this.#frames.element]);
    }
    parts.set('Response', responseParts(detail));
    parts.set('Request', requestParts(detail));
    parts.set('Timing', timingParts(detail));
    this.#build(parts);
  }

  /** Open a tab, if there is one of that name. */
  choose(name) {
    if (!this.#panels.has(name)) return;
    this.#chosen = name;
    for (const [each, tab] of this.#buttons) {
      tab.setAttribute('aria-selected', String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      this.#panels.get(each).hidden = each !== name;
    }
  }

  #build(parts) {
    const chosen = this.#chosen ?? parts.keys().next().value;
    const hadFocus = this.#tabs.contains(document.activeElement);
    this.#buttons.clear();
    this.#panels.clear();
    for (const [name, content] of parts) {
      const id = `${this.#name}-${name.toLowerCase()}`;
      const tab = button(name, () => {
        this.choose(name);
        this.onTab(name);
      }, { role: 'tab', id: `${id}-tab`, 'aria-controls': id, class: 'tab' });
      this.#buttons.set(name, tab);
      this.#panels.set(name, element('div', {
        role: 'tabpanel', id, 'aria-labelledby': `${id}-tab`, tabindex: 0, class: 'panel',
      }, content));
    }
    this.#tabs.replaceChildren(...this.#buttons.values());
    this.place.replaceChildren(...this.#panels.values());
    this.choose(chosen);
    if (hadFocus) this.#buttons.get(this.#chosen)?.focus();
  }

  #onKey(event) {
    const names = [...this.#buttons.keys()];
    const at = names.indexOf(this.#chosen);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const name = names[(at + step + names.length) % names.length];
    this.choose(name);
    this.onTab(name);
    this.#buttons.get(name).focus();
  }
}

function summaryView(detail) {
  return element('p', { class: 'summary-line' },
    element('span', { class: `status class-${statusClass(detail)}` }, statusWord(detail)), ' ',
    element('span', {}, formatDuration(detail.elapsed)), ' · ',
    element('span', {}, `${formatBytes(detail.received)} in, ${formatBytes(detail.sent)} out`));
}

function requestParts(detail) {
  const parts = [];
  if (detail.request.query.length) {
    parts.push(heading('Query'), pairsView('Query', detail.request.query));
  }
  return [
    ...parts, heading('Body'), bodyView(detail.request.body), ...headersParts(detail.request.headers),
  ];
}

function responseParts(detail) {
  if (!detail.response) {
    const why = detail.state === 'open' ? 'The app has not answered yet.'
      : 'The stream was reset before an answer.';
    return [element('p', { class: 'muted' }, why)];
  }
  return [
    heading('Body'), bodyView(detail.response.body), ...headersParts(detail.response.headers),
  ];
}

function headersParts(headers) {
  if (!headers.length) return [heading('Headers'), element('p', { class: 'muted' }, 'None.')];
  return [heading('Headers'), pairsView('Headers', headers)];
}

function timingParts(detail) {
  const parts = [];
  if (detail.elapsed !== null && detail.first_byte !== null) parts.push(timeline(detail));
  const facts = [
    ['Started', formatMoment(detail.started)],
    ['First byte', formatDuration(detail.first_byte)],
    ['Total', formatDuration(detail.elapsed)],
    ['Visitor', detail.visitor],
    ['Country', detail.country],
    ['Ray ID', detail.ray_id],
    ['Host', detail.host],
    ['Connection', detail.conn_index === null || detail.conn_index === undefined
      ? null : `${detail.conn_index}${detail.colo ? ` at ${detail.colo}` : ''}`],
    ['Number', detail.id],
  ];
  parts.push(pairsView('Facts', facts.map(([name, value]) => [name, value || '–'])));
  return parts;
}

/** Two bars: until the first byte, and from there to the end. */
function timeline(detail) {
  const total = Math.max(detail.elapsed, 1e-9);
  const bar = (name, label, seconds) => {
    const meter = element('div', { class: `bar bar-${name}` });
    meter.style.flexGrow = String(seconds / total);
    meter.title = `${label}: ${formatDuration(seconds)}`;
    return meter;
  };
  const rest = Math.max(0, detail.elapsed - detail.first_byte);
  return element('div', { class: 'timeline' },
    element('div', { class: 'bars', 'aria-hidden': 'true' },
      bar('wait', 'Until the first byte', detail.first_byte),
      bar('rest', 'From there to the end', rest)),
    element('p', { class: 'timeline-words' },
      element('span', { class: 'dot bar-wait' }), `${formatDuration(detail.first_byte)} to the first byte`,
      element('span', { class: 'dot bar-rest' }), `${formatDuration(rest)} to send the answer`));
}

function heading(text) {
  return element('h4', {}, text);
}
