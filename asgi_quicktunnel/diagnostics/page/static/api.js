// The JSON of the diagnostics. Addresses are relative to this file, so any prefix will do.

const BASE = new URL('..', import.meta.url);

/** A request that was refused; the message is the server's sentence. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The address of something below the diagnostics path. */
export function addressOf(path) {
  return new URL(path, BASE);
}

/** What `GET path` answers. Throws ApiError, or TypeError where nobody answers. */
export async function read(path, signal) {
  return parse(await fetch(addressOf(path), { cache: 'no-store', signal }));
}

/** Everything kept about one request. */
export function readRequest(id, signal) {
  return read(`requests/${encodeURIComponent(id)}`, signal);
}

/** Ids of the requests that contain `text` somewhere, which only the server can know. */
export async function findText(text, signal) {
  const query = new URLSearchParams({ text, limit: '500' });
  const found = await read(`requests?${query}`, signal);
  return new Set(found.requests.map((summary) => summary.id));
}

/** Send a request once more, with `edits`; its id, and what it came to. */
export function replay(id, edits) {
  return change('POST', `requests/${encodeURIComponent(id)}/replay`, edits);
}

/** Forget every request. */
export function clear() {
  return change('DELETE', 'requests');
}

async function change(method, path, body) {
  const answer = await send(method, path, body);
  if (!answer.ok) {
    // A server that was started anew since this page came has another token, and did nothing.
    const used = token;
    token = (await read('token')).token;
    if (token !== used) return parse(await send(method, path, body));
  }
  return parse(answer);
}

function send(method, path, body) {
  const headers = { 'X-Quicktunnel-Token': token };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  return fetch(addressOf(path), {
    method, headers, cache: 'no-store', body: body === undefined ? undefined : JSON.stringify(body),
  });
}

async function parse(answer) {
  if (answer.status === 204) return null;
  const text = await answer.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // Whoever answered there, it was not the diagnostics: the app, or another server.
  }
  if (answer.ok && value !== null) return value;
  const reason = value?.error ?? `the server answered ${answer.status}`;
  throw new ApiError(answer.status, String(reason));
}

let token = document.querySelector('meta[name=quicktunnel-token]').content;
