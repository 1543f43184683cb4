"""Ansible module: one PostgreSQL database, owned by one user who signs in with one password.

The password never leaves this process: PostgreSQL is given its SCRAM verifier (RFC 5802, RFC 7677), so that no
statement, log line or command line can show it, and an unchanged password is recognised by the verifier that is stored.
"""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-not-found,import-untyped,unused-ignore]

ITERATIONS = 4096


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """PostgreSQL's form of a SCRAM-SHA-256 secret, as it stands in pg_authid.rolpassword."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{words[0]}${words[1]}:{words[2]}"


def matches(password: str, known: str) -> bool:
    """Whether a stored verifier was made from this password."""
    try:
        _, parameters, _ = known.split("$")
        iterations, salt = parameters.split(":")
        return hmac.compare_digest(known, verifier(password, base64.b64decode(salt), int(iterations)))
    except ValueError:
        return False


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def psql(statement: str) -> str:
    """Runs a statement as the database's own administrator; it goes in by standard input."""
    done = subprocess.run(
        ["/usr/sbin/runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres"],
        input=f"SET standard_conforming_strings = on;\n{statement};\n",
        capture_output=True,
        text=True,
        cwd="/",
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()


def statements(name: str, user: str, password: str) -> list[str]:
    """What is still to be done."""
    wanted = []
    of_user, of_database = f"rolname = {literal(user)}", f"datname = {literal(name)}"
    known = psql(f"SELECT coalesce(rolpassword, '-') || rolcanlogin FROM pg_authid WHERE {of_user}")  # noqa: S608
    if not known.endswith("true") or not matches(password, known.removesuffix("true")):
        verb = "ALTER" if known else "CREATE"
        wanted.append(f"{verb} ROLE {quoted(user)} LOGIN PASSWORD {literal(verifier(password, os.urandom(16)))}")
    owner = psql(f"SELECT rolname FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE {of_database}")  # noqa: S608
    if not owner:
        wanted.append(
            f"CREATE DATABASE {quoted(name)} OWNER {quoted(user)} ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0",
        )
    elif owner != user:
        wanted.append(f"ALTER DATABASE {quoted(name)} OWNER TO {quoted(user)}")
    return wanted


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not shutil.which("psql"):
        module.exit_json(changed=True, msg="PostgreSQL is not installed yet")
    try:
        wanted = statements(**module.params)
        if not module.check_mode:
            for statement in wanted:
                psql(statement)
    except RuntimeError as error:
        module.fail_json(msg=f"PostgreSQL refused: {error}")
    module.exit_json(changed=bool(wanted))


if __name__ == "__main__":
    main()
