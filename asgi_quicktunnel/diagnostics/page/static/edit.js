// Replaying with edits: a form with the request in it, of which what was changed is sent.

import { button, element, setText } from './dom.js';
import { target } from './format.js';

/** The form for one request. `onSend` gets the edits; what it throws is shown. */
export class EditForm {
  #detail;
  #fields = {};
  #error = element('p', { class: 'error', role: 'alert' });
  #isSending = false;
  #onSend;

  constructor(detail, { onSend, onCancel }) {
    this.#detail = detail;
    this.#onSend = onSend;
    const original = this.#original();
    const field = (name, label, node) => {
      node.id = `edit-${name}`;
      node.value = original[name];
      node.spellcheck = false;
      this.#fields[name] = node;
      return element('div', { class: `field field-${name}` }, element('label', { for: node.id }, label), node);
    };
    const body = field('body', 'Body', element('textarea', { rows: 8 }));
    if (!this.#hasTextBody()) {
      body.append(element('p', { class: 'hint' },
        'The body is not text: left empty, it is sent as it came.'));
    }
    this.element = element('form', { class: 'edit', 'aria-label': 'Replay with edits' },
      element('div', { class: 'field-row' },
        field('method', 'Method', element('input', { autocomplete: 'off', class: 'mono' })),
        field('path', 'Path and query', element('input', { autocomplete: 'off', class: 'mono' }))),
      field('headers', 'Headers, one a line', element('textarea', { rows: 8 })),
      element('p', { class: 'hint' }, '*** stands for a value that is kept secret here, and is sent.'),
      body, this.#error,
      element('div', { class: 'actions' },
        button('Send', () => this.#submit(), { class: 'button primary' }),
        button('Cancel', onCancel, { class: 'button' })));
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#submit();
      if (event.key !== 'Escape') return;
      event.stopPropagation(); // it closes the form and not the detail
      onCancel();
    });
  }

  focus() {
    this.#fields.path.focus();
  }

  /** What differs from the original. Throws Error with a sentence. */
  edits() {
    const original = this.#original();
    const edits = {};
    const changed = (name) => this.#fields[name].value !== original[name];
    if (changed('method')) edits.method = this.#fields.method.value.trim();
    if (changed('path')) edits.path = this.#fields.path.value.trim();
    if (changed('headers')) edits.headers = parseHeaders(this.#fields.headers.value);
    if (changed('body')) edits.body = this.#fields.body.value;
    return edits;
  }

  async #submit() {
    if (this.#isSending) return; // and the button stays as it is: it has the focus
    this.#isSending = true;
    setText(this.#error, '');
    try {
      await this.#onSend(this.edits());
    } catch (error) {
      setText(this.#error, `It was not sent: ${error.message}`);
    } finally {
      this.#isSending = false;
    }
  }

  #original() {
    return {
      method: this.#detail.method,
      path: target(this.#detail),
      headers: this.#detail.request.headers.map(([name, value]) => `${name}: ${value}`).join('\n'),
      // A text area knows one kind of line ending, and would call the others a change.
      body: this.#hasTextBody() ? (this.#detail.request.body.text ?? '').replace(/\r\n?/g, '\n') : '',
    };
  }

  #hasTextBody() {
    return ['empty', 'json', 'form', 'text'].includes(this.#detail.request.body.kind);
  }
}

function parseHeaders(text) {
  return text.split('\n').filter((line) => line.trim()).map((line) => {
    const colon = line.indexOf(':', 1);
    if (colon < 0) throw new Error(`“${line}” is no header: a colon is missing.`);
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}
