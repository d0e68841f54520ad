// Visits tests_support/client_site.py with Node's own fetch and WebSocket, and writes what it saw
// as JSON: node node_visitor.mjs fetch|websocket URL FRONT_ADDRESS
import dns from 'node:dns'
import { createHash, randomBytes } from 'node:crypto'

const [task, base, front] = process.argv.slice(2)

// Many resolvers don't know .localhost.
dns.lookup = (name, options, done) => {
  const found = { address: front, family: 4 }
  process.nextTick(() =>
    options.all ? done(null, [found]) : done(null, found.address, found.family))
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex')

async function useFetch() {
  const page = await fetch(base + '/')
  const content = randomBytes(400_000)
  const form = new FormData()
  form.set('name', 'Ада')
  form.set('file', new Blob([content]), 'größe.bin')
  const posted = await (await fetch(base + '/form', { method: 'POST', body: form })).json()
  const stream = new ReadableStream({
    start(controller) {
      for (let part = 0; part < 10; part++) controller.enqueue(content.subarray(0, 40_000))
      controller.close()
    },
  })
  const options = { method: 'POST', body: stream, duplex: 'half' }
  const digest = await (await fetch(base + '/digest', options)).json()
  const ticks = []
  const decoder = new TextDecoder()
  for await (const part of (await fetch(base + '/ticks')).body) {
    ticks.push(decoder.decode(part))
    await fetch(base + '/tick', { method: 'POST' })
  }
  const redirected = await fetch(base + '/away')
  return {
    page: [page.status, page.headers.get('content-type'), (await page.text()).length],
    missing: (await fetch(base + '/missing')).status,
    form: { ...posted, whole: posted.file.sha256 === sha256(content) },
    upload: digest,
    ticks,
    redirected: [redirected.url, redirected.redirected],
    download: (await (await fetch(base + '/download/2000000')).arrayBuffer()).byteLength,
  }
}

function useWebSocket() {
  const messages = ['', 'grüße', 'я'.repeat(100_000), randomBytes(300_000)]
  const socket = new WebSocket(base.replace(/^http/, 'ws') + '/ws', ['chat', 'echo'])
  socket.binaryType = 'arraybuffer'
  const same = []
  return new Promise((resolve, reject) => {
    socket.onerror = (event) => reject(event.error ?? new Error('the WebSocket failed'))
    socket.onopen = () => messages.forEach((message) => socket.send(message))
    socket.onmessage = ({ data }) => {
      const sent = messages[same.length]
      same.push(typeof sent === 'string' ? data === sent : sent.equals(Buffer.from(data)))
      if (same.length === messages.length) socket.send('bye')
    }
    socket.onclose = ({ code, reason, wasClean }) =>
      resolve({ protocol: socket.protocol, same, code, reason, wasClean })
  })
}

console.log(JSON.stringify(await { fetch: useFetch, websocket: useWebSocket }[task]()))
