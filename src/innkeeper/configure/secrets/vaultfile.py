"""Ansible Vault's encrypted text, versions 1.1 and 1.2 with AES256, as `ansible-vault` writes it.

Ansible itself could read it, but importing Ansible costs every plan half a second. The form: a header line, then hex of
three lines of hex: salt, HMAC-SHA256 of the ciphertext, ciphertext. Both keys and the counter come from PBKDF2 with
10,000 rounds of SHA-256 (docs.ansible.com, "Format of files encrypted with Ansible Vault").
"""

import hashlib
import hmac
from binascii import Error as HexError
from binascii import unhexlify

from innkeeper.configure.extras import need

_ROUNDS = 10_000
_KEY, _COUNTER = 32, 16


class NotReadable(ValueError):
    """Why the text cannot be decrypted, without any of it."""


def encrypted(text: str) -> bool:
    return text.lstrip().startswith("$ANSIBLE_VAULT;")


def decrypt(text: str, password: bytes) -> str:
    """The plain text. NotReadable when the password is wrong or the text is not Ansible Vault's."""
    header, *body = text.strip().splitlines()
    parts = header.strip().split(";")
    if len(parts) < 3 or parts[1] not in ("1.1", "1.2") or parts[2] != "AES256":
        raise NotReadable("is not in a form of Ansible Vault that is known (1.1 or 1.2, AES256)")
    try:
        salt, mac, ciphertext = (unhexlify(part) for part in unhexlify("".join(body).replace(" ", "")).split(b"\n"))
    except (HexError, ValueError):
        raise NotReadable("is damaged: not whole hex lines") from None
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 2 * _KEY + _COUNTER)
    if not hmac.compare_digest(hmac.digest(derived[_KEY : 2 * _KEY], ciphertext, "sha256"), mac):
        raise NotReadable("cannot be decrypted with this password")
    need("cryptography")
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    padded = Cipher(AES(derived[:_KEY]), CTR(derived[2 * _KEY :])).decryptor().update(ciphertext)
    unpadder = padding.PKCS7(AES.block_size).unpadder()
    try:
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, UnicodeDecodeError):
        raise NotReadable("does not hold text") from None
