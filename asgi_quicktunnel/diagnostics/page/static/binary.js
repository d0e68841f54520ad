// Bytes: as a picture where they are one that can do nothing but be seen, else as a hex dump.

import { button, element } from './dom.js';
import { formatBytes } from './format.js';

/** The bytes that base64 text stands for. */
export function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/**
 * The type of a picture by its first bytes, or null. What the sender called it does not count, and
 * SVG is none of them: it is a document, and is shown as text.
 */
export function pictureType(bytes) {
  const begins = (...numbers) => numbers.every((number, place) => bytes[place] === number);
  const says = (from, word) => [...word].every((each, at) => bytes[from + at] === each.charCodeAt(0));
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'image/png';
  if (begins(0xff, 0xd8, 0xff)) return 'image/jpeg';
  if (says(0, 'GIF87a') || says(0, 'GIF89a')) return 'image/gif';
  if (says(0, 'RIFF') && says(8, 'WEBP')) return 'image/webp';
  return null;
}

/** A picture with its size in pixels; a dump where the browser can't draw it. */
export function pictureView(bytes, type) {
  const address = URL.createObjectURL(new Blob([bytes], { type }));
  const caption = element('figcaption', {}, type);
  const image = element('img', { alt: `Picture of the body, ${type}` });
  const figure = element('figure', { class: 'picture' }, image, caption);
  image.addEventListener('load', () => {
    URL.revokeObjectURL(address);
    caption.textContent = `${type}, ${image.naturalWidth} × ${image.naturalHeight} pixels`;
  });
  image.addEventListener('error', () => {
    URL.revokeObjectURL(address);
    figure.replaceWith(hexView(bytes));
  });
  image.src = address;
  return figure;
}

/** A dump: place, 16 bytes in hex, the same in ASCII; a portion at a time. */
export function hexView(bytes) {
  const dump = element('pre', { class: 'hex', tabindex: 0, 'aria-label': 'Hex dump' });
  const view = element('div', {}, dump);
  let shown = 0;
  const more = () => {
    const lines = [];
    const end = Math.min(shown + PORTION, bytes.length);
    for (; shown < end; shown += ROW) lines.push(line(bytes, shown));
    dump.append(`${lines.join('\n')}\n`);
    next.hidden = shown >= bytes.length;
    next.textContent = `Show more (${formatBytes(Math.max(0, bytes.length - shown))} left)`;
  };
  const next = button('', more, { class: 'button small' });
  view.append(next);
  more();
  return view;
}

function line(bytes, from) {
  const row = bytes.subarray(from, from + ROW);
  const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0'));
  const pairs = [hex.slice(0, 8).join(' '), hex.slice(8).join(' ')].join('  ').padEnd(3 * ROW);
  const text = [...row].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'));
  return `${from.toString(16).padStart(6, '0')}  ${pairs}  ${text.join('')}`;
}

const ROW = 16; // bytes
const PORTION = 2048; // bytes
