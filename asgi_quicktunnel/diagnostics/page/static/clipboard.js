// Copying, with a word about how it went.

import { button, byId, element, setText } from './dom.js';

/** A button that copies what `text()` gives at that moment. */
export function copyButton(label, text, attributes = {}) {
  const copy = button(label, async () => {
    const done = await copyText(text());
    say(done ? 'Copied.' : 'This browser did not allow copying.');
    if (!done) return;
    setText(copy, 'Copied');
    clearTimeout(copy.timer);
    copy.timer = setTimeout(() => setText(copy, label), 1500);
  }, attributes);
  return copy;
}

/** Let assistive technology say something. */
export function say(sentence) {
  const speaker = byId('speaker');
  setText(speaker, '');
  setText(speaker, sentence);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure context: another machine's plain address. The old way works there.
  }
  const area = element('textarea', { class: 'visually-hidden', 'aria-hidden': 'true' });
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  try {
    return document.execCommand('copy');
  } finally {
    area.remove();
    before?.focus();
  }
}
