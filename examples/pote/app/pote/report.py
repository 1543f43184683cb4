"""Mails the newest prices, as SMTP_HOST, SMTP_PORT, SMTP_FROM and POTE_READER say."""

import os
import smtplib
from email.message import EmailMessage

from pote.database import connect


def main() -> None:
    with connect() as connection:
        newest = "SELECT DISTINCT ON (name) name, cents FROM prices ORDER BY name, collected DESC"
        rows = connection.execute(newest).fetchall()
    message = EmailMessage()
    message["Subject"] = "Prices of today"
    message["From"] = os.environ["SMTP_FROM"]
    message["To"] = os.environ["POTE_READER"]
    message.set_content("\n".join(f"{name} {int(str(cents)) / 100:.2f}" for name, cents in rows))
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ.get("SMTP_PORT", "25")), timeout=20) as server:
        if os.environ.get("SMTP_STARTTLS", "").lower() == "true":
            server.starttls()
        if user := os.environ.get("SMTP_USER"):
            server.login(user, os.environ["SMTP_PASSWORD"])
        server.send_message(message)


if __name__ == "__main__":
    main()
