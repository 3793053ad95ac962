"""Tables under their columns hash, and limit tables under their file's hash. Parquet from outside is parsed here and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import polars as pl
from numpy.typing import NDArray

from subak.archive.store import Archive, WrongContent, content_hash, get_checked
from subak.core.canon.columns import columns_hash, columns_manifest
from subak.core.canon.json import encode
from subak.core.nouns.book import LINES

MAX_TABLES = 64
"""Tables in one set."""
MAX_ROWS = 1 << 27
"""Rows in one table."""
MAX_LINE_ROWS = 1 << 22
"""Rows in one table of vouchers' lines."""
MANIFEST = "manifest.json"
"""Beside the tables: the text whose SHA-256 names the set, so that a reader knows what to ask for."""
ROW_GROUP = 1 << 16


class _Column(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    rows: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROWS)]
    sha256: str


_MONEY = pl.Decimal(38, 0)


def write_tables(archive: Archive, folder: str, tables: Mapping[str, pl.DataFrame]) -> bytes:
    """Keeps the tables as ``folder/<hash>/<table>.parquet`` and returns their columns hash, 32 bytes.

    The manifest is written last: where it stands, everything stands. Errors: ValueError over 64 tables, and those of ``columns_hash``.
    """
    if len(tables) > MAX_TABLES:
        raise ValueError(f"{len(tables)} tables, at most {MAX_TABLES}")
    name = columns_hash(tables)
    place = f"{folder}/{name.hex()}"
    if not archive.has(f"{place}/{MANIFEST}"):
        for table, rows in tables.items():
            path = f"{place}/{table}.parquet"
            # Another version of Polars may have written the same values as other bytes.
            if not archive.has(path):
                archive.put(path, write_parquet(rows))
        archive.put(f"{place}/{MANIFEST}", encode(columns_manifest(tables)))
    return name


def read_tables(archive: Archive, folder: str, name: bytes) -> dict[str, pl.DataFrame]:
    """The tables whose columns hash is ``name``; money comes as Decimal(38, 0).

    Errors: NotThere; WrongContent naming the table and columns whose values are not those that were hashed.
    """
    place = f"{folder}/{name.hex()}"
    raw = archive.get(f"{place}/{MANIFEST}")
    found = content_hash(b"subak/columns/1" + raw)
    if found != name:
        raise WrongContent(f"{place}/{MANIFEST} names the tables {found.hex()}, expected {name.hex()}")
    try:
        manifest = msgspec.json.decode(raw, type=dict[str, dict[str, _Column]])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise WrongContent(f"{place}/{MANIFEST}: {error}") from None
    if encode(manifest) != raw:
        raise WrongContent(f"{place}/{MANIFEST} is not canonical JSON")
    if len(manifest) > MAX_TABLES:
        raise WrongContent(f"{place}/{MANIFEST} lists {len(manifest)} tables, at most {MAX_TABLES}")
    return {table: _read_table(archive, f"{place}/{table}.parquet", columns) for table, columns in manifest.items()}


def write_limit_table(archive: Archive, table: pl.DataFrame) -> bytes:
    """Keeps a limit table as ``tables/<sha>.parquet`` and returns the SHA-256 of the file, 32 bytes."""
    _check_limits("limit table", table)
    data = write_parquet(table)
    sha = content_hash(data)
    archive.put(f"tables/{sha.hex()}.parquet", data)
    return sha


def read_limit_table(archive: Archive, sha: bytes) -> Mapping[str, NDArray[Any]]:
    """Columns of a limit table: whole numbers and booleans. Errors: NotThere; WrongContent naming the hash or column that is not right."""
    path = f"tables/{sha.hex()}.parquet"
    table = parse_parquet(get_checked(archive, path, sha), path)
    _check_limits(path, table)
    return {column.name: column.to_numpy() for column in table}


def write_lines(archive: Archive, lines: pl.DataFrame) -> bytes:
    """Keeps a table of vouchers' lines as ``lines/<sha>.parquet`` and returns the SHA-256 of the file, 32 bytes."""
    data = write_parquet(lines.select(list(LINES)))
    sha = content_hash(data)
    archive.put(f"lines/{sha.hex()}.parquet", data)
    return sha


def read_lines(archive: Archive, sha: bytes) -> pl.DataFrame:
    """A table of vouchers' lines: ``LINES``. Errors: NotThere; WrongContent naming what is not right."""
    path = f"lines/{sha.hex()}.parquet"
    table = parse_parquet(get_checked(archive, path, sha), path, MAX_LINE_ROWS, pl.Schema(LINES))
    if any(column.null_count() for column in table):
        raise WrongContent(f"{path} holds nulls")
    for name in ("lane", "asset"):
        if not (table[name].bin.size() == 32).all():
            raise WrongContent(f"{path}: {name} is not always 32 bytes")
    if not (table["money"] > 0).all():
        raise WrongContent(f"{path}: money is not always above zero")
    return table


def write_parquet(table: pl.DataFrame, metadata: dict[str, str] | None = None) -> bytes:
    """The table as Parquet: zstd, row groups of 65,536, no statistics."""
    buffer = io.BytesIO()
    table.write_parquet(
        buffer, compression="zstd", compression_level=1, row_group_size=ROW_GROUP, statistics=False, metadata=dict(metadata or {})
    )
    return buffer.getvalue()


def parse_parquet(data: bytes, path: str, most_rows: int = MAX_ROWS, schema: pl.Schema | None = None) -> pl.DataFrame:
    """The table in a Parquet file from anyone. Errors: WrongContent naming ``path`` if it is no Parquet, has over ``most_rows`` rows or
    other columns or types than ``schema``."""
    try:
        lazy = pl.scan_parquet(io.BytesIO(data))
        if schema is not None and (found := lazy.collect_schema()) != schema:
            raise WrongContent(f"{path} has the columns {dict(found)}, expected {dict(schema)}")
        rows = lazy.select(pl.len()).collect().item()
        if rows > most_rows:
            raise WrongContent(f"{path} has {rows} rows, at most {most_rows}")
        return lazy.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        raise WrongContent(f"{path} is no Parquet that can be read: {type(error).__name__}: {str(error)[:200]}") from None


def parquet_metadata(data: bytes, path: str) -> dict[str, str]:
    """The file's key-value metadata. Errors: WrongContent."""
    try:
        return pl.read_parquet_metadata(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise WrongContent(f"{path} is no Parquet that can be read: {type(error).__name__}: {str(error)[:200]}") from None


def _read_table(archive: Archive, path: str, columns: Mapping[str, _Column]) -> pl.DataFrame:
    most = max((column.rows for column in columns.values()), default=0)
    table = parse_parquet(archive.get(path), path, most)
    try:
        found = {name: _Column(**column) for name, column in columns_manifest({"table": table})["table"].items()}
    except (ValueError, TypeError) as error:
        raise WrongContent(f"{path}: {error}") from None
    differing = sorted(name for name in columns.keys() | found.keys() if columns.get(name) != found.get(name))
    if differing:
        raise WrongContent(f"{path} holds other values than were hashed in {differing}")
    money = [name for name, column in found.items() if column.type == "money"]
    return table.with_columns(pl.col(name).cast(_MONEY) for name in money)


def _check_limits(path: str, table: pl.DataFrame) -> None:
    for column in table:
        if not (column.dtype.is_integer() or column.dtype == pl.Boolean) or column.dtype in (pl.Int128, pl.UInt128):
            raise WrongContent(f"{path}: {column.name} is {column.dtype}; limits are whole numbers of 64 bits and booleans")
        if column.null_count():
            raise WrongContent(f"{path}: {column.name} holds a null")
