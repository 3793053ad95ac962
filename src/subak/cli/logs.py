"""What processes say while they run, on standard error."""

from __future__ import annotations

import logging

import msgspec

_NOISY = ("httpx", "httpcore", "pymodbus")


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"unix_s": int(record.created), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told).decode()


def log_to_stderr(json: bool = False) -> None:
    """Say it from now on, in words or as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if json else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
