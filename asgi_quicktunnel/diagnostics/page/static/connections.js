// A card for each HA connection.

import { byId, element, setText } from './dom.js';
import { formatAge, formatBytes, formatCount, formatDuration } from './format.js';

/** The cards, kept while their connection is; figures alone change. */
export class Connections {
  #cards = new Map();
  #list = byId('connections');
  #none = byId('no-connections');

  show(status) {
    const connections = [...status.connections, ...(status.missing ?? [])];
    connections.sort((one, other) => one.conn_index - other.conn_index);
    for (const [index, card] of this.#cards) {
      if (connections.some((each) => each.conn_index === index)) continue;
      card.element.remove();
      this.#cards.delete(index);
    }
    for (const connection of connections) {
      let card = this.#cards.get(connection.conn_index);
      if (!card) {
        card = new Card(connection.conn_index);
        this.#cards.set(connection.conn_index, card);
      }
      card.show(connection);
      const place = this.#list.children[connections.indexOf(connection)];
      if (place !== card.element) this.#list.insertBefore(card.element, place ?? null);
    }
    this.#none.hidden = connections.length > 0;
  }
}

class Card {
  #values = new Map();

  constructor(index) {
    this.state = element('span', { class: 'pill' });
    this.place = element('p', { class: 'card-place' });
    const figures = element('dl', { class: 'figures' });
    for (const [name, hint] of FIGURES) {
      const value = element('dd', {}, '–');
      this.#values.set(name, value);
      figures.append(element('div', {}, element('dt', { title: hint }, name), value));
    }
    this.cause = element('p', { class: 'card-cause' });
    this.element = element(
      'li', { class: 'card connection' },
      element('div', { class: 'card-head' },
        element('h3', {}, `Connection ${index}`), this.state),
      this.place, this.cause, figures,
    );
  }

  show(connection) {
    const state = connection.state ?? 'registered';
    setText(this.state, STATES[state] ?? state);
    this.state.dataset.state = STATE_COLOURS[state] ?? 'starting';
    const carried = [connection.protocol?.toUpperCase(), connection.engine].filter(Boolean);
    const where = [connection.colo, connection.address].filter(Boolean).join(' · ');
    setText(this.place, [where || 'at no site now', carried.join(', ')].filter(Boolean).join('\n'));
    setText(this.cause, connection.cause ?? '');
    this.cause.hidden = !connection.cause;
    const bytes = (name) => (known(connection[name]) ? formatBytes(connection[name]) : '–');
    this.#show('RTT', formatDuration(connection.rtt));
    this.#show('Age', known(connection.age) ? formatAge(connection.age) : '–');
    this.#show('Received', bytes('bytes_received'));
    this.#show('Sent', bytes('bytes_sent'));
    this.#show('Open', count(connection.streams_open));
    this.#show('Served', count(connection.streams_total));
    this.#show('Lost', count(connection.packets_lost));
    this.#show('Reconnects', count(connection.reconnects));
  }

  #show(name, text) {
    setText(this.#values.get(name), text);
  }
}

function known(value) {
  return value !== null && value !== undefined;
}

function count(value) {
  return known(value) ? formatCount(value) : '–';
}

const FIGURES = [
  ['RTT', 'Smoothed round-trip time to the edge'],
  ['Age', 'Since the registration'],
  ['Received', 'Bytes from the edge'],
  ['Sent', 'Bytes to the edge'],
  ['Open', 'Request streams being served now'],
  ['Served', 'Request streams since the dial'],
  ['Lost', 'Packets that loss recovery declared lost'],
  ['Reconnects', 'How often this connection was lost and came back'],
];
const STATES = {
  registered: 'Serving', connecting: 'Connecting', waiting: 'Waiting', given_up: 'Given up',
};
const STATE_COLOURS = {
  registered: 'ready', connecting: 'starting', waiting: 'starting', given_up: 'failed',
};
