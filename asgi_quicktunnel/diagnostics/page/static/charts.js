// Two charts of the last 15 minutes, with a table that says the same.

import { byId, element, setAttribute, setText, svg } from './dom.js';
import { formatClock, formatCount, formatNumberOf, formatRate } from './format.js';
import { CLASSES, SPAN } from './history.js';

/** Requests per second, and status classes. */
export class Charts {
  #history;
  #rate = new Plot(byId('rate-chart'), { below: false });
  #classes = new Plot(byId('class-chart'), { below: true });
  #area = svg('path', { class: 'area' });
  #line = svg('path', { class: 'line' });
  #stacks = svg('g', {});
  #legend = new Map();
  #buckets = [];
  #chosen = null;
  #drawn = '';

  constructor(history) {
    this.#history = history;
    this.#rate.body.append(this.#area, this.#line);
    this.#classes.body.append(this.#stacks);
    for (const name of CLASSES) {
      const total = element('b', {}, '0');
      const entry = element('li', { class: `class-${name}`, hidden: true }, `${name} `, total);
      this.#legend.set(name, { entry, total });
      byId('legend').append(entry);
    }
    for (const plot of [this.#rate, this.#classes]) {
      plot.element.addEventListener('pointermove', (event) => this.#choose(plot, event));
      plot.element.addEventListener('pointerleave', () => this.#choose(plot, null));
    }
    byId('traffic-table').addEventListener('toggle', () => this.#showTable());
  }

  /** Draw what there is at `now`; does nothing where that looks as before. */
  draw(now) {
    this.#buckets = this.#history.buckets(BUCKET, now);
    const looks = JSON.stringify(this.#buckets);
    setText(byId('rate-now'), `${formatRate(this.#history.rate(now))} /s`);
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    const totals = CLASSES.map((_, place) => sum(this.#buckets, (each) => each.counts[place]));
    this.#drawRate();
    this.#drawClasses();
    this.#showWords(totals);
    this.#showTable();
    this.#showReadout();
  }

  #drawRate() {
    const rates = this.#buckets.map((bucket) => bucket.total / BUCKET);
    const top = this.#rate.scale(Math.max(...rates), formatRate);
    const points = rates.map((rate, place) => {
      const x = ((place + 0.5) / rates.length) * WIDTH;
      return `${x.toFixed(1)},${(HEIGHT - (rate / top) * HEIGHT).toFixed(1)}`;
    });
    setAttribute(this.#line, 'd', `M${points.join('L')}`);
    setAttribute(this.#area, 'd', `M0,${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z`);
  }

  #drawClasses() {
    const top = this.#classes.scale(Math.max(...this.#buckets.map((each) => each.total)), formatRate);
    const width = WIDTH / this.#buckets.length;
    const bars = [];
    this.#buckets.forEach((bucket, place) => {
      let y = HEIGHT;
      bucket.counts.forEach((count, index) => {
        if (!count) return;
        const height = Math.max((count / top) * HEIGHT, 1);
        y -= height;
        bars.push(svg('rect', {
          class: `class-${CLASSES[index]}`,
          x: (place * width + 0.75).toFixed(2), y: y.toFixed(2),
          width: (width - 1.5).toFixed(2), height: height.toFixed(2),
        }));
      });
    });
    this.#stacks.replaceChildren(...bars);
  }

  #showWords(totals) {
    const all = sum(totals, (each) => each);
    const peak = this.#buckets.reduce((best, each) => (each.total > best.total ? each : best));
    const peakRate = formatRate(peak.total / BUCKET);
    setText(byId('rate-total'), `${formatNumberOf(all, 'request')} in 15 minutes`);
    setAttribute(this.#rate.element, 'aria-label', all
      ? `Requests per second over the last 15 minutes: ${formatCount(all)} in all, at most ` +
        `${peakRate} a second at ${formatClock(peak.begins)}.`
      : 'Requests per second over the last 15 minutes: none came.');
    const words = CLASSES.map((name, place) => totals[place] && `${formatCount(totals[place])} ${name}`);
    setAttribute(this.#classes.element, 'aria-label', all
      ? `Status classes over the last 15 minutes: ${words.filter(Boolean).join(', ')}.`
      : 'Status classes over the last 15 minutes: none.');
    CLASSES.forEach((name, place) => {
      const { entry, total } = this.#legend.get(name);
      entry.hidden = !totals[place];
      setText(total, formatCount(totals[place]));
    });
  }

  #showTable() {
    if (!byId('traffic-table').open) return;
    const perMinute = 60 / BUCKET;
    const rows = [];
    for (let place = this.#buckets.length - perMinute; place >= 0; place -= perMinute) {
      const minute = this.#buckets.slice(place, place + perMinute);
      rows.push(element('tr', {},
        element('th', { scope: 'row' }, formatClock(minute[0].begins)),
        CLASSES.map((_, index) =>
          element('td', {}, formatCount(sum(minute, (each) => each.counts[index])))),
      ));
    }
    byId('traffic-rows').replaceChildren(...rows);
  }

  #choose(plot, event) {
    this.#chosen = event && plot.placeOf(event, this.#buckets.length);
    this.#showReadout();
  }

  #showReadout() {
    const bucket = this.#chosen === null ? null : this.#buckets[this.#chosen];
    for (const plot of [this.#rate, this.#classes]) {
      plot.point(bucket ? (this.#chosen + 0.5) / this.#buckets.length : null);
    }
    const readout = byId('readout');
    if (!bucket) {
      setText(readout, '');
      return;
    }
    const words = CLASSES.map((name, place) => bucket.counts[place] && `${bucket.counts[place]} × ${name}`);
    const what = words.filter(Boolean).join(', ') || 'nothing';
    setText(readout, `${formatClock(bucket.begins)}, ${BUCKET} s: ${what}`);
  }
}

/** The ground of a chart: frame, grid, axes. Drawn to the width of its place. */
class Plot {
  constructor(place) {
    this.body = svg('svg', {
      class: 'plot-body', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    });
    for (const share of [0, 0.5, 1]) {
      const y = HEIGHT * share;
      this.body.append(svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: y, y2: y }));
    }
    this.pointer = svg('line', { class: 'pointer', y1: 0, y2: HEIGHT, visibility: 'hidden' });
    this.body.append(this.pointer);
    this.top = element('span', { class: 'axis-top' });
    this.element = place;
    place.setAttribute('role', 'img');
    place.setAttribute('aria-label', 'Nothing is known yet.');
    const minutes = [SPAN / 60, SPAN / 90, SPAN / 180, 0];
    place.append(
      element('div', { class: 'plot-ground', 'aria-hidden': 'true' }, this.top, this.body),
      element('div', { class: 'axis-time', 'aria-hidden': 'true' },
        minutes.map((each) => element('span', {}, each ? `−${each} min` : 'now'))),
    );
  }

  /** Make `highest` fit below a round number, which is returned and shown. */
  scale(highest, format) {
    const top = roundUp(highest);
    setText(this.top, format(top));
    return top;
  }

  /** Mark a place, as a share of the width, or none. */
  point(share) {
    setAttribute(this.pointer, 'visibility', share === null ? 'hidden' : 'visible');
    if (share === null) return;
    for (const name of ['x1', 'x2']) setAttribute(this.pointer, name, String(share * WIDTH));
  }

  placeOf(event, count) {
    const box = this.body.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * count);
    return Math.min(Math.max(place, 0), count - 1);
  }
}

/** The next of 1, 2, 5, 10, 20, ... (or tenths of them) that is not below `number`. */
function roundUp(number) {
  if (number === 0) return 1;
  const power = 10 ** Math.floor(Math.log10(Math.max(number, 0.1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number - 1e-9);
}

function sum(list, value) {
  return list.reduce((total, each) => total + value(each), 0);
}

const BUCKET = 10; // s
const WIDTH = 900;
const HEIGHT = 100;
