// Puts the style into the page and the shop's title into its place: src/ becomes dist/.
import { mkdir, readFile, writeFile } from 'node:fs/promises'

const source = name => readFile(new URL(`src/${name}`, import.meta.url), 'utf8')
const page = (await source('page.html'))
  .replace('/* style */', await source('style.css'))
  .replaceAll('{{title}}', process.env.SHOP_TITLE ?? 'The webshop')
await mkdir(new URL('dist/', import.meta.url), { recursive: true })
await writeFile(new URL('dist/page.html', import.meta.url), page)
