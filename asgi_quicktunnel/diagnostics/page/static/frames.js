// A WebSocket's conversation, frame by frame.

import { decodeBase64, hexView } from './binary.js';
import { button, element } from './dom.js';
import { formatBytes, formatDuration } from './format.js';

/** The list of frames of one exchange; `show` adds what is new. */
export class Frames {
  #list = element('ol', { class: 'frames', 'aria-label': 'Frames' });
  #earlier = button('', () => this.#showEarlier(), { class: 'button small' });
  #none = element('p', { class: 'muted' }, 'No frame has passed yet.');
  #frames = [];
  #first = 0; // place of the first one shown
  element = element('div', {}, this.#none, this.#earlier, this.#list);

  show(frames) {
    const known = this.#frames.length;
    this.#frames = frames;
    if (known === 0) this.#first = Math.max(0, frames.length - SHOWN);
    this.#list.append(...frames.slice(Math.max(known, this.#first)).map(row));
    while (this.#list.childElementCount > 2 * SHOWN) {
      this.#list.firstElementChild.remove();
      this.#first += 1;
    }
    this.#showCount();
  }

  #showEarlier() {
    const from = Math.max(0, this.#first - SHOWN);
    this.#list.prepend(...this.#frames.slice(from, this.#first).map(row));
    this.#first = from;
    this.#showCount();
  }

  #showCount() {
    this.#none.hidden = this.#frames.length > 0;
    this.#earlier.hidden = this.#first === 0;
    this.#earlier.textContent = `Show earlier (${this.#first})`;
  }
}

function row(frame) {
  const who = frame.from === 'visitor' ? 'Visitor' : 'App';
  const code = frame.code === null || frame.code === undefined ? '' : ` ${frame.code}`;
  return element('li', { class: `frame frame-${frame.from}` },
    element('span', { class: 'frame-from' }, who),
    element('span', { class: 'frame-kind' }, `${frame.type}${code}`),
    element('span', { class: 'frame-at' }, `${formatDuration(frame.at)} · ${formatBytes(frame.size)}`),
    element('div', { class: 'frame-content' }, content(frame)));
}

function content(frame) {
  if (frame.text) return element('bdi', { class: 'text' }, frame.text);
  if (frame.base64) return hexView(decodeBase64(frame.base64));
  return element('span', { class: 'muted' }, 'nothing in it');
}

const SHOWN = 300; // frames at first
