// Where the tunnel stands: its URL, its state in words, and whether this page still hears of it.

import { addressOf } from './api.js';
import { copyButton } from './clipboard.js';
import { byId, setAttribute, setText } from './dom.js';

/** The top of the page. */
export class Header {
  #url = null;

  constructor() {
    byId('copy-url').replaceWith(
      copyButton('Copy', () => this.#url ?? '', { id: 'copy-url', class: 'button', hidden: true }),
    );
    const dialog = byId('qr-dialog');
    byId('qr').addEventListener('click', () => dialog.showModal());
    dialog.addEventListener('click', () => dialog.close());
  }

  /** Show a status, as `GET /status` gives it. */
  show(status) {
    const [name, meaning] = STATES[status.state] ?? [status.state, ''];
    const state = byId('state');
    setText(state, name);
    state.dataset.state = status.state;
    setText(byId('meaning'), status.state === 'starting' ? waiting(status) : meaning);
    const cause = byId('cause');
    setText(cause, status.cause ? `Cause: ${status.cause}` : '');
    cause.hidden = !status.cause;
    this.#showUrl(status.url);
  }

  /** Show how the page is kept up to date. */
  showLink(link, wait) {
    const node = byId('link');
    node.dataset.link = link;
    setText(node, LINKS[link](wait));
    document.documentElement.dataset.link = link;
  }

  #showUrl(url) {
    if (url === this.#url) return;
    this.#url = url;
    const anchor = byId('url');
    setText(anchor, url ?? 'No public URL yet');
    // Only what a browser can open: the value is the server's, but this costs nothing.
    setAttribute(anchor, 'href', url && /^https?:\/\//.test(url) ? url : null);
    for (const id of ['copy-url', 'open-url']) byId(id).hidden = url === null;
    setAttribute(byId('open-url'), 'href', anchor.getAttribute('href'));
    byId('qr').hidden = url === null;
    if (url) {
      const address = addressOf('qr.svg');
      address.searchParams.set('for', url); // another URL is another picture
      for (const image of document.querySelectorAll('.qr-image')) {
        image.src = address;
        image.alt = `QR code of ${url}`;
      }
    }
    const command = byId('empty-curl');
    command.hidden = url === null;
    setText(command, url ? `curl -i ${url}/` : '');
    setText(byId('empty-hint'), url
      ? 'Open the public URL in a browser, or on a phone with the code above, or try'
      : 'What visitors of the public URL ask for will appear here.');
    document.title = url ? `${new URL(url).hostname} · tunnel` : 'Quick tunnel';
  }
}

function waiting(status) {
  return status.waiting_for ? `Waiting for ${status.waiting_for}.` : 'The tunnel is coming up.';
}

const STATES = {
  starting: ['Starting', ''],
  ready: ['Ready', 'Visitors of the URL reach this app.'],
  degraded: ['Degraded', 'A connection was lost and comes back. Another serves meanwhile.'],
  reconnecting: ['Reconnecting', 'No connection serves. Visitors see an error until one is back.'],
  stopped: ['Stopped', 'There is no tunnel: it has not started yet, or it has ended.'],
  failed: ['Failed', 'The tunnel was given up. The log of the server has more.'],
};
const LINKS = {
  connecting: () => 'Connecting',
  live: () => 'Live',
  polling: () => 'Every 2 s',
  silent: (since) => `No news for ${Math.round(since)} s`,
  lost: (wait) => `Reconnecting, next try in ${Math.max(1, Math.round(wait))} s`,
};
