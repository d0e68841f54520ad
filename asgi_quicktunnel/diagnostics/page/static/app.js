// The page: what comes in from the server goes to the parts that show it.

import { clear } from './api.js';
import { say } from './clipboard.js';
import { Charts } from './charts.js';
import { Connections } from './connections.js';
import { DetailPanel } from './detail.js';
import { byId, setText } from './dom.js';
import { FilterForm } from './filter-form.js';
import { formatCount, formatNumberOf } from './format.js';
import { Header } from './header.js';
import { History } from './history.js';
import { Live } from './live.js';
import { Filter, Requests } from './requests.js';
import { RequestTable } from './table.js';

const requests = new Requests();
const filter = new Filter();
const traffic = new History();
const header = new Header();
const connections = new Connections();
const charts = new Charts(traffic);
const detail = new DetailPanel({
  summaryOf: (id) => requests.get(id),
  onOpen: (id) => table.mark(id),
  onClose: () => {
    table.mark(null);
    table.focus();
  },
});
const table = new RequestTable({ onOpen: (id) => detail.open(id) });
const filterForm = new FilterForm(filter, { onChange: () => showRequests() });
let shown = requests.all; // what the table shows: while paused, what it showed then
let isPaused = false;
let isDue = false;

const live = new Live({
  onMessage(message) {
    if (message.type === 'status') {
      header.show(message.status);
      connections.show(message.status);
    } else if (message.type === 'traffic') {
      traffic.apply(message.traffic, performance.now(), { reset: message.reset !== false });
    } else if (message.type === 'requests') {
      requests.apply(message);
      if (message.inspecting === false) showSwitchedOff();
      filterForm.offerMethods(message.requests);
      filterForm.refresh();
      showRequests();
    }
  },
  onLink(link, wait) {
    header.showLink(link, wait);
  },
});

/** Bring the table up to date, once before the next picture, however much changed. */
function showRequests() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (!isPaused) shown = requests.all;
    const accepted = shown.filter((summary) => filter.accepts(summary));
    table.show(accepted);
    showCounts(accepted.length);
    detail.follow(requests.get(detail.id));
  });
}

function showCounts(accepted) {
  const all = shown.length;
  setText(byId('count'), filter.isOn
    ? `${formatCount(accepted)} of ${formatNumberOf(all, 'request')}`
    : formatNumberOf(all, 'request'));
  byId('empty').hidden = all > 0;
  byId('no-match').hidden = all === 0 || accepted > 0;
  byId('table').hidden = accepted === 0;
  byId('filter-reset').hidden = !filter.isOn;
  setText(byId('pause'), isPaused ? `Resume${missed()}` : 'Pause');
}

/** Say why the list stays empty where the server keeps nothing. */
function showSwitchedOff() {
  setText(byId('empty-title'), 'Requests are not kept');
  setText(byId('empty-hint'), 'The option “inspect” is off.');
  byId('empty-curl').hidden = true;
}

/** How many requests came since the pause began, as a word beside the button's. */
function missed() {
  const known = new Set(shown.map((summary) => summary.id));
  const count = requests.all.filter((summary) => !known.has(summary.id)).length;
  return count ? ` (${formatCount(count)} new)` : '';
}

byId('pause').addEventListener('click', () => {
  isPaused = !isPaused;
  byId('pause').setAttribute('aria-pressed', String(isPaused));
  showRequests();
});

byId('clear').addEventListener('click', async () => {
  try {
    await clear();
    detail.close();
    isPaused = false;
    byId('pause').setAttribute('aria-pressed', 'false');
    requests.apply({ reset: true, requests: [] });
    showRequests();
    say('The list is empty.');
  } catch (error) {
    say(`The list was not cleared: ${error.message}`);
  }
});

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('qr-dialog').open) return;
  const isTyping = event.target.closest('input, textarea, select') !== null;
  if (event.key === '/' && !isTyping) {
    event.preventDefault();
    filterForm.focus();
  } else if (event.key === 'Escape') {
    detail.close();
  } else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && event.target === document.body) {
    event.preventDefault();
    table.focus();
  }
});

function tick() {
  if (document.visibilityState === 'visible') charts.draw(performance.now());
}

setInterval(tick, 1000);
document.addEventListener('visibilitychange', tick);
live.start();
