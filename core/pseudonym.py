"""Patient ids become keyed hashes; whoever lacks the key cannot go back or test a guess."""

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_CENTURY = 36525
SECRET_BYTES = 32
UNNAMED = "image:"
"""What the key of a patient whom no file names begins with."""


class WrongKey(ValueError):
    """The key is not one, or not the one that patients were named with; the message says what to do."""


@dataclass(frozen=True)
class Pseudonym:
    """HMAC-SHA256 under a secret made at first start and kept outside the database."""

    secret: bytes

    def of(self, namespace: str, value: str) -> str:
        """16 hex digits for `value`; the same value under another namespace is another person."""
        named = f"{namespace}|{value.strip()}".encode("utf-8", "surrogateescape")  # a file's name may be no UTF-8
        return hmac.new(self.secret, named, "sha256").hexdigest()[:16]

    def day(self, patient: str, date: str) -> float | None:
        """A date (YYYYMMDD) as a day that is only good for its distance from others of the patient: each patient's
        calendar is moved by a number of days that the secret decides. None where it is no date."""
        try:
            ordinal = datetime.strptime(date.strip(), "%Y%m%d").toordinal()
        except ValueError:
            return None
        return float(ordinal - int(self.of("day", patient), 16) % _CENTURY)

    @property
    def fingerprint(self) -> str:
        """Which secret this is, without telling it: keys made with different ones cannot be compared."""
        return self.of("fingerprint", "")

    @classmethod
    def at(cls, path: Path) -> "Pseudonym":
        """The secret in `path`, made on first use, readable by its owner only. Raises WrongKey where it is cut
        off or cannot be read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)  # fails where another process was first: then its secret is the one
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        try:
            secret = path.read_bytes()
        except OSError as error:
            raise WrongKey(
                f"{path} cannot be read ({error.strerror}). Let it be the key's file, readable by whoever runs this; "
                "where it is lost, put it back from where it is kept."
            ) from error
        if len(secret) < SECRET_BYTES:
            raise WrongKey(
                f"{path} is damaged: it holds {len(secret)} bytes, and a key has {SECRET_BYTES}. Restore it from where "
                "it is kept; without it known patients would become new ones."
            )
        return cls(secret)


def are_keys(column: Iterable[str]) -> bool:
    """Whether a column has the form of keys made here, which numbers alone, as hospitals give them, do not have."""
    found = [text.strip() for text in column if text.strip()]
    formed = all(re.fullmatch(rf"({UNNAMED})?[0-9a-f]{{16}}", text) for text in found)
    return formed and not all(text.isdigit() for text in found)


def unnamed(digest: str) -> str:
    """The key of a patient of whom an image is all that is known, by its hash."""
    return f"{UNNAMED}{digest[:16]}"
