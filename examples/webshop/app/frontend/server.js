// The shop's page, with what the backend has in its database.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'

const page = await readFile(new URL('dist/page.html', import.meta.url), 'utf8')
const escaped = text => text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`)
const row = ({ name, cents }) => `<tr><td>${escaped(name)}</td><td>${(cents / 100).toFixed(2)} €</td></tr>`

createServer(async (request, response) => {
  if (request.url !== '/') return response.writeHead(404).end('There is nothing here.\n')
  try {
    const answer = await fetch(`${process.env.BACKEND_URL}/api/products`, { signal: AbortSignal.timeout(5000) })
    if (!answer.ok) throw new Error(`the backend answered ${answer.status}`)
    const rows = (await answer.json()).map(row).join('\n')
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page.replace('<!-- products -->', () => rows))
  } catch (error) {
    response.writeHead(502, { 'content-type': 'text/plain' }).end(`The shop is closed: ${error.message}\n`)
  }
}).listen(Number(process.env.PORT ?? 3000))
