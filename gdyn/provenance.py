"""Where a result came from: checksums of files and of settings."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gdyn.files import FilePath


def file_checksum(path: FilePath) -> str:
    """SHA-256 of a file's bytes, as ``sha256:...``."""
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def settings_checksum(settings: Mapping[str, Any]) -> str:
    """SHA-256 of a mapping of plain values, the same for the same content in any order of keys."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


# The version since which each stage of the workflow makes what it makes. Raised where its results change, it lets
# Snakemake make them again; results of stages that did not change stay good, whatever the version of gdyn.
SINCE = {
    "simulate": "0.1.0",
    "ingest": "0.1.0",
    "graphs": "0.1.0",
    "train": "0.1.0",
    "select": "0.2.0",
    "analyse": "0.2.0",
    "report": "0.2.0",
}
