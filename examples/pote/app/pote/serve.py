"""The diary as a page: GET / lists the prices, newest first."""

import os
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

from pote.database import connect

PAGE = "<!doctype html><meta charset=utf-8><title>Pote</title><h1>Prices</h1><p>{count} collected</p><ul>{rows}</ul>\n"


def page() -> str:
    with connect() as connection:
        (count,) = connection.execute("SELECT count(*) FROM prices").fetchone() or (0,)
        newest = connection.execute("SELECT name, cents FROM prices ORDER BY collected DESC LIMIT 20").fetchall()
    rows = "".join(f"<li>{escape(str(name))} {int(str(cents)) / 100:.2f}</li>" for name, cents in newest)
    return PAGE.format(count=count, rows=rows)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, text = (200, page()) if self.path == "/" else (404, "There is nothing here.\n")
        except psycopg.Error as error:
            status, text = 503, f"The diary is closed: {type(error).__name__}\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
