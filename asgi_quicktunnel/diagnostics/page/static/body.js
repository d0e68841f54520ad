// One body: what it is, how much of it was kept, and its content in the shape that fits.

import { decodeBase64, hexView, pictureType, pictureView } from './binary.js';
import { copyButton } from './clipboard.js';
import { button, element, setText } from './dom.js';
import { formatBytes, formatNumberOf } from './format.js';
import { parseJson, treeView } from './tree.js';

/** A section about a body, as the JSON of the diagnostics describes it. */
export function bodyView(body) {
  const facts = [NAMES[body.kind] ?? body.kind];
  if (body.content_type) facts.push(body.content_type);
  if (body.size) facts.push(formatBytes(body.size));
  const head = element('p', { class: 'facts' }, element('bdi', {}, facts.join(' · ')));
  const section = element('div', { class: `body body-${body.kind}` }, head);
  if (body.truncated) {
    section.append(element('p', { class: 'notice' },
      `Only the first ${formatBytes(body.kept)} were kept.`));
  }
  if (body.kind !== 'empty') section.append(...content(body));
  return section;
}

function content(body) {
  if (body.kind === 'json' && body.text !== null) return jsonViews(body.text);
  const views = [];
  if (body.fields?.length) views.push(fieldsView(body.fields));
  if (body.kind === 'form' && views.length) return views;
  if (body.text) views.push(textView(body.text));
  else if (body.base64) views.push(bytesView(decodeBase64(body.base64)));
  if (!views.length) {
    views.push(element('p', { class: 'muted' }, body.kept ? 'There is no view of it.' : 'Nothing was kept.'));
  }
  return views;
}

function bytesView(bytes) {
  const type = pictureType(bytes);
  return type ? pictureView(bytes, type) : hexView(bytes);
}

/** A tree, or the text as it came; at a click from one to the other. */
function jsonViews(text) {
  const value = parseJson(text);
  if (value === undefined) {
    return [element('p', { class: 'notice' }, 'It calls itself JSON and is none.'), textView(text)];
  }
  const place = element('div', {}, treeView(value));
  let isTree = true;
  const toggle = button('As it came', () => {
    isTree = !isTree;
    place.replaceChildren(isTree ? treeView(value) : textView(text));
    setText(toggle, isTree ? 'As it came' : 'As a tree');
  }, { class: 'button small' });
  const copy = copyButton('Copy', () => text, { class: 'button small' });
  return [element('div', { class: 'actions' }, toggle, copy), place];
}

/** Text with a button for the rest where it is long. */
export function textView(text) {
  const block = element('pre', { class: 'text', tabindex: 0, 'aria-label': 'Text' });
  if (text.length <= LONG * 1.2) {
    block.append(text);
    return block;
  }
  block.append(text.slice(0, LONG));
  const rest = button(`Show the other ${formatNumberOf(text.length - LONG, 'character')}`, () => {
    block.textContent = text;
    rest.remove();
  }, { class: 'button small' });
  return element('div', {}, block, rest);
}

function fieldsView(fields) {
  const rows = fields.map((field) => {
    const facts = [field.filename, field.content_type, formatBytes(field.size)];
    const isFile = field.filename !== null && field.filename !== undefined;
    const value = field.value === null || field.value === undefined
      ? element('span', { class: 'muted' }, facts.filter(Boolean).join(' · '))
      : element('span', {}, field.value,
        isFile && element('span', { class: 'muted' }, ` ${facts.filter(Boolean).join(' · ')}`));
    return [field.name, value];
  });
  return pairsView('Fields', rows);
}

/** A table of names and values; a value is text or a node. */
export function pairsView(label, pairs) {
  return element('table', { class: 'pairs', 'aria-label': label },
    element('tbody', {}, pairs.map(([name, value]) =>
      element('tr', {},
        element('th', { scope: 'row' }, element('bdi', {}, name)),
        element('td', {}, element('bdi', {}, value))))));
}

const NAMES = {
  empty: 'No body', json: 'JSON', form: 'Form', multipart: 'Form with parts', text: 'Text',
  image: 'Picture', binary: 'Binary',
};
const LONG = 20000; // characters
