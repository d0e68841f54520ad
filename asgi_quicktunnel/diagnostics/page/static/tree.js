// JSON as a tree that folds. Made level by level: what is folded costs nothing.

import { button, element } from './dom.js';
import { formatNumberOf } from './format.js';

/** The value of a JSON text, or undefined where it is none. Numbers keep their spelling. */
export function parseJson(text) {
  try {
    return JSON.parse(text, (_, value, context) => {
      if (typeof value !== 'number' || context?.source === undefined) return value;
      return String(value) === context.source ? value : new Spelling(context.source);
    });
  } catch {
    return undefined;
  }
}

/** A tree for a parsed value; the first levels are open where they are short. */
export function treeView(value) {
  return element('div', { class: 'tree' }, node(null, value, 0));
}

/** A number that JavaScript would show as another one, such as one of 20 digits. */
class Spelling {
  constructor(source) {
    this.source = source;
  }
}

function node(key, value, depth) {
  const label = key === null ? null : element('span', { class: 'key' }, `${JSON.stringify(key)}: `);
  if (value === null || typeof value !== 'object' || value instanceof Spelling) {
    return element('div', { class: 'leaf' }, label, leaf(value));
  }
  const isList = Array.isArray(value);
  const entries = isList ? value : Object.entries(value);
  const [left, right] = isList ? '[]' : '{}';
  if (!entries.length) return element('div', { class: 'leaf' }, label, `${left}${right}`);
  const count = formatNumberOf(entries.length, isList ? 'item' : 'member');
  const children = element('div', { class: 'children' });
  const folder = element(
    'details', {},
    element('summary', {}, label, left, element('span', { class: 'folded' }, ` ${count} ${right}`)),
    children, element('div', { class: 'closing' }, right),
  );
  const fill = () => {
    if (!children.childElementCount) more(children, entries, isList, 0, depth + 1);
  };
  folder.addEventListener('toggle', () => folder.open && fill());
  if (depth < OPEN_LEVELS && entries.length <= OPEN_ENTRIES) {
    fill();
    folder.open = true;
  }
  return folder;
}

/** Add the entries from `from` on, a portion at a time. */
function more(children, entries, isList, from, depth) {
  const portion = entries.slice(from, from + PORTION);
  children.append(
    ...portion.map((entry) => (isList ? node(null, entry, depth) : node(entry[0], entry[1], depth))),
  );
  const left = entries.length - from - portion.length;
  if (left <= 0) return;
  const show = button(`Show more (${left} left)`, () => {
    show.remove();
    more(children, entries, isList, from + PORTION, depth);
  }, { class: 'button small' });
  children.append(show);
}

function leaf(value) {
  if (value instanceof Spelling) return element('span', { class: 'number' }, value.source);
  const kind = value === null ? 'null' : typeof value;
  return element('span', { class: kind }, JSON.stringify(value));
}

const OPEN_LEVELS = 2;
const OPEN_ENTRIES = 50;
const PORTION = 200;
