// The shop's data as JSON: GET /api/products, POST /api/products {name, cents}; GET / says whether the database answers.
import { createServer } from 'node:http'
import pg from 'pg'

const pool = new pg.Pool({ max: 4 })
pool.on('error', error => console.error(`database: ${error.message}`))

async function body (request) {
  let text = ''
  for await (const chunk of request) {
    text += chunk
    if (text.length > 10_000) throw new Error('the request is too long')
  }
  return JSON.parse(text)
}

async function answer (request) {
  switch (`${request.method} ${request.url}`) {
    case 'GET /':
      await pool.query('SELECT 1')
      return [200, { status: 'ok', environment: process.env.APP_ENV }]
    case 'GET /api/products':
      return [200, (await pool.query('SELECT id, name, cents FROM products ORDER BY name')).rows]
    case 'POST /api/products': {
      const { name, cents } = await body(request)
      const { rows } = await pool.query('INSERT INTO products (name, cents) VALUES ($1, $2) RETURNING id, name, cents', [name, cents])
      return [201, rows[0]]
    }
    default:
      return [404, { error: 'there is nothing here' }]
  }
}

createServer(async (request, response) => {
  let status, value
  try {
    [status, value] = await answer(request)
  } catch (error) {
    [status, value] = [503, { error: error.message }]
  }
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}).listen(Number(process.env.PORT ?? 3001))
