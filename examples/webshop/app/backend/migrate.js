// Brings the database to this version's state: every file in migrations/ once, in order of its name.
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'

const here = new URL('migrations/', import.meta.url)
const client = new pg.Client()
await client.connect()
try {
  await client.query('CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)')
  for (const name of (await readdir(here)).sort()) {
    const { rowCount } = await client.query('SELECT 1 FROM migrations WHERE name = $1', [name])
    if (rowCount) continue
    await client.query('BEGIN')
    await client.query(await readFile(new URL(name, here), 'utf8'))
    await client.query('INSERT INTO migrations VALUES ($1)', [name])
    await client.query('COMMIT')
    console.log(`migrated ${name}`)
  }
} finally {
  await client.end()
}
