"""What a network keeps: the append-only log of one verifier, and content-addressed files in a folder or behind HTTP."""

from subak.archive.log import Cut, EntryLog, LogBroken, Logged, Recovered
from subak.archive.segments import UnsoundSegment, read_segment, segment_path, write_segment, write_segments
from subak.archive.store import (
    AlreadyThere,
    Archive,
    ArchiveError,
    FolderArchive,
    HttpArchive,
    NotThere,
    WrongContent,
    content_hash,
    get_checked,
)
from subak.archive.tables import read_limit_table, read_tables, write_limit_table, write_tables

__all__ = [
    "AlreadyThere",
    "Archive",
    "ArchiveError",
    "Cut",
    "EntryLog",
    "FolderArchive",
    "HttpArchive",
    "LogBroken",
    "Logged",
    "NotThere",
    "Recovered",
    "UnsoundSegment",
    "WrongContent",
    "content_hash",
    "get_checked",
    "read_limit_table",
    "read_segment",
    "read_tables",
    "segment_path",
    "write_limit_table",
    "write_segment",
    "write_segments",
    "write_tables",
]
