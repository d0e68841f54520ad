// The panel about one request: what passed, and what can be done with it.

import { readRequest, replay } from './api.js';
import { copyButton, say } from './clipboard.js';
import { button, byId, element, setText } from './dom.js';
import { EditForm } from './edit.js';
import { Exchange } from './exchange.js';
import { target } from './format.js';

/** The panel. `summaryOf(id)` is what the list says; `onOpen` and `onClose` let it follow. */
export class DetailPanel {
  #panel = byId('detail');
  #content = byId('detail-content');
  #title = byId('detail-title');
  #actions = byId('detail-actions');
  #error = byId('detail-error');
  #summaryOf;
  #onOpen;
  #onClose;
  #id = null;
  #wasListed = false;
  #isReplaying = false;
  #covers = matchMedia('(max-width: 60rem)'); // the panel lies over the page, as in detail.css
  #started = null; // of the request shown: ids begin anew with the server
  #detail = null;
  #exchange = null;
  #beside = null; // the exchange that this one repeats, if both are shown
  #edit = null;
  #tabs = {}; // the one chosen last, by kind of request, for the next one too
  #loading = null;
  #timer = null;

  constructor({ summaryOf, onOpen, onClose }) {
    this.#summaryOf = summaryOf;
    this.#onOpen = onOpen;
    this.#onClose = onClose;
    this.#covers.addEventListener('change', () => this.#setBehind());
    byId('detail-close').addEventListener('click', () => this.close());
  }

  /** The request that is shown, or null. */
  get id() {
    return this.#id;
  }

  /** Show this request; with `original`, beside the one that it repeats. */
  async open(id, { original = null, focus = false } = {}) {
    this.#leave();
    this.#id = id;
    this.#wasListed = original === null; // a replay's answer may come before the list
    this.#exchange = this.#makeExchange('exchange', original === null ? '' : `Replay, number ${id}`);
    if (original !== null) {
      this.#beside = { id: original, view: this.#makeExchange('original', `Original, number ${original}`) };
    }
    this.#panel.hidden = false;
    this.#setBehind();
    document.documentElement.dataset.detail = this.#beside ? 'both' : 'one';
    this.#content.replaceChildren();
    this.#onOpen(id);
    await this.#load();
    if ((focus || this.#covers.matches) && this.#id === id) this.#title.focus();
  }

  close() {
    if (this.#id === null) return;
    this.#leave();
    this.#id = null;
    this.#panel.hidden = true;
    this.#setBehind();
    delete document.documentElement.dataset.detail;
    this.#onClose();
  }

  /** The list of requests changed; `summary` is that of the one shown, or null when it is gone. */
  follow(summary) {
    if (this.#id === null || this.#detail === null) return;
    if (summary === null && !this.#wasListed) return;
    this.#wasListed = true;
    if (summary === null || summary.started !== this.#started) {
      this.#fail('This request is not kept any more.');
      return;
    }
    const changed = ['state', 'status', 'received', 'sent'].some(
      (key) => summary[key] !== this.#detail[key],
    );
    // A WebSocket that talks changes often; each look at it decodes all its frames.
    if (changed) this.#timer ??= setTimeout(() => this.#load(), REFRESH);
  }

  #leave() {
    this.#loading?.abort();
    clearTimeout(this.#timer);
    this.#timer = this.#loading = this.#detail = this.#exchange = this.#beside = this.#edit = null;
    this.#actions.replaceChildren(); // they act on the request they were made for
    this.#fail('');
  }

  #makeExchange(name, heading) {
    return new Exchange(name, {
      heading,
      onTab: (tab) => {
        this.#tabs[this.#detail.kind] = tab;
        for (const each of [this.#exchange, this.#beside?.view]) each?.choose(tab);
      },
    });
  }

  async #load() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#loading?.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    const ids = this.#beside ? [this.#id, this.#beside.id] : [this.#id];
    try {
      const [detail, original] = await Promise.all(ids.map((id) => readRequest(id, signal)));
      if (signal.aborted) return;
      // Each worker of a server has numbers of its own, and another one may have answered.
      const listed = this.#summaryOf(this.#id);
      if (listed && listed.started !== detail.started) throw new Error('another worker answered.');
      this.#show(detail, original);
    } catch (error) {
      if (!signal.aborted) this.#fail(`It can't be shown: ${error.message}`);
    }
  }

  #show(detail, original) {
    const isNew = this.#detail === null;
    this.#detail = detail;
    this.#started = detail.started;
    this.#fail('');
    const method = detail.kind === 'websocket' ? 'WebSocket' : detail.method;
    this.#title.replaceChildren(
      element('span', { class: 'detail-method' }, method), ' ',
      element('bdi', { class: 'detail-target' }, target(detail)));
    this.#exchange.show(detail);
    if (this.#beside) this.#beside.view.show(original);
    if (isNew) {
      const tab = this.#tabs[detail.kind];
      for (const view of [this.#exchange, this.#beside?.view]) if (tab) view?.choose(tab);
      this.#content.replaceChildren(element('div', { class: 'exchanges' },
        [this.#beside?.view.element, this.#exchange.element]));
      this.#content.scrollTop = 0;
    }
    this.#showActions(detail);
  }

  #showActions(detail) {
    if (this.#actions.contains(document.activeElement) && this.#actions.dataset.id === detail.id) {
      return; // nobody wants the button taken away that is about to be pressed
    }
    this.#actions.dataset.id = detail.id;
    const why = detail.replayable ? null : detail.why_not;
    const actions = [
      button('Replay', () => this.#replay({}), {
        class: 'button primary', disabled: !detail.replayable, title: why,
      }),
      button('Edit and replay', () => this.#startEdit(), {
        class: 'button', disabled: !detail.replayable, title: why,
      }),
      copyButton('Copy as curl', () => detail.curl, { class: 'button' }),
      copyButton('Copy as httpx', () => detail.httpx, { class: 'button' }),
    ];
    const related = [];
    if (detail.replay_of !== null && !this.#beside) {
      related.push(button(`Beside the original, number ${detail.replay_of}`,
        () => this.open(detail.id, { original: detail.replay_of, focus: true }), { class: 'link' }));
    }
    if (this.#beside) {
      related.push(button('Without the original', () => this.open(detail.id, { focus: true }), { class: 'link' }));
    }
    for (const id of detail.replays) {
      related.push(button(`Replay, number ${id}`,
        () => this.open(id, { original: detail.id, focus: true }), { class: 'link' }));
    }
    this.#actions.replaceChildren(
      element('div', { class: 'actions' }, actions),
      why ? element('p', { class: 'hint' }, `No replay: ${why.replace(/\.?$/, '.')}`) : '',
      related.length ? element('p', { class: 'related' }, related) : '');
  }

  async #replay(edits) {
    if (this.#isReplaying) return; // and the button stays as it is: it has the focus
    this.#isReplaying = true;
    try {
      await this.#send(edits);
    } catch (error) {
      this.#fail(`It was not replayed: ${error.message}`);
    } finally {
      this.#isReplaying = false;
    }
  }

  async #send(edits) {
    const original = this.#id;
    say('Replaying.');
    const { id } = await replay(original, edits);
    say('Replayed; the answer is shown beside the original.');
    this.#tabs.http = 'Response';
    await this.open(id, { original, focus: true });
  }

  #startEdit() {
    if (this.#edit) return;
    const leave = () => {
      this.#edit.element.remove();
      this.#edit = null;
      this.#title.focus();
    };
    this.#edit = new EditForm(this.#detail, { onSend: (edits) => this.#send(edits), onCancel: leave });
    this.#content.prepend(this.#edit.element);
    this.#content.scrollTop = 0;
    this.#edit.focus();
  }

  /** What the panel covers can't be reached, by keyboard either. */
  #setBehind() {
    const isBehind = this.#id !== null && this.#covers.matches;
    for (const part of document.querySelectorAll('[data-behind]')) part.inert = isBehind;
  }

  #fail(sentence) {
    setText(this.#error, sentence);
    this.#error.hidden = !sentence;
  }
}

const REFRESH = 400; // ms
