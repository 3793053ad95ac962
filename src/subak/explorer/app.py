"""The pages: epochs, assets, accounts, customers, raises, proposals, refusals. Server-rendered, without JavaScript; the same facts as JSON
under ``.json``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from subak.chain.contracts import ChainRefused
from subak.chain.rpc import RpcError, RpcUnreachable
from subak.core.nouns import Network
from subak.explorer import bills, raising, statements, wallets, words
from subak.explorer.deciding import Deciding
from subak.explorer.following import Following
from subak.explorer.ledger import MAX_PAGE, Page

REFRESH_S = 5
"""Seconds after which the front page loads itself anew."""
EPOCHS_IN_STATEMENT = 60
"""Newest epochs that an asset's page tells of."""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_HERE = Path(__file__).parent
_DIMMED_FROM = 4
_WRITTEN_OUT = 6
"""Amounts of so many decimals are short enough to be shown whole."""

Facts = dict[str, Any]
"""What a page tells: plain values, amounts as text in base units, times as Unix seconds."""


def make_app(rpc_url: str, archive_url: str, database_path: Path) -> Starlette:
    """The application; it follows the network while it runs. ``archive_url`` is any verifier's ``/archive``."""
    following = Following(rpc_url, archive_url, Path(database_path))

    @asynccontextmanager
    async def running(app: Starlette) -> AsyncIterator[None]:
        following.start()
        yield
        pages.deciding.stop()
        await run_in_threadpool(following.stop)

    pages = _Pages(following)
    app = Starlette(
        routes=pages.routes(),
        lifespan=running,
        middleware=[Middleware(_Headers), Middleware(GZipMiddleware, minimum_size=1_000)],
        exception_handlers={HTTPException: pages.refused, 500: pages.failed},
    )
    app.state.following = following
    return app


def serve(rpc_url: str, archive_url: str, database_path: Path, host: str, port: int) -> None:
    """Serve the pages until the process is told to stop."""
    app = make_app(rpc_url, archive_url, database_path)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


class _Pages:
    """Each page is a function from a request to facts, and a template that shows them."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._ledger = following.ledger
        self.deciding = Deciding(following.rpc, following.archive_url)
        self._templates = _templates()

    def routes(self) -> list[BaseRoute]:
        pages: list[tuple[str, str, Callable[[Request], Facts]]] = [
            ("/", "front", self.front),
            ("/epochs", "epochs", self.epochs),
            ("/epochs/{epoch:int}", "epoch", self.epoch),
            ("/assets", "assets", self.assets),
            ("/assets/{asset}", "asset", self.asset),
            ("/accounts", "accounts", self.accounts),
            ("/accounts/{account}", "account", self.account),
            ("/customers", "customers", self.customers),
            ("/customers/{account}", "customer", self.customer),
            ("/raises", "raises", self.raises),
            ("/raises/{address}", "raise", self.a_raise),
            ("/proposals", "proposals", self.proposals),
            ("/proposals/{number:int}", "proposal", self.proposal),
            ("/refusals", "refusals", self.refusals),
            ("/about", "about", self.about),
        ]
        routes: list[BaseRoute] = [
            Route("/healthz", self.healthz),
            Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
        ]
        for path, template, facts in pages:
            # The JSON comes first: a name in a path would take ".json" for a part of itself.
            routes.append(Route("/index.json" if path == "/" else f"{path}.json", self._as_json(facts)))
            routes.append(Route(path, self._as_page(template, facts)))
        return routes

    def front(self, request: Request) -> Facts:
        epochs = self._ledger.epochs(size=12)
        return {
            "totals": self._ledger.totals(),
            "epochs": epochs.rows,
            "who_was_refused": self._ledger.who_was_refused(),
            "refresh_s": 0 if request.query_params.get("refresh") == "off" else REFRESH_S,
        }

    def epochs(self, request: Request) -> Facts:
        return {"epochs": _paged(self._ledger.epochs(*_asked(request)), request)}

    def epoch(self, request: Request) -> Facts:
        number = request.path_params["epoch"]
        # SQL's integers end before a path does.
        row = self._ledger.epoch(number) if number < 2**32 else None
        if row is None:
            raise HTTPException(404, f"Epoch {number} is not final, or not read yet.")
        return {
            "epoch": row,
            "assets": _paged(self._ledger.epoch_assets(number, *_asked(request)), request),
            "who_was_refused": self._ledger.who_was_refused(size=50, epoch=number),
        }

    def assets(self, request: Request) -> Facts:
        return {"assets": _paged(self._ledger.assets(*_asked(request)), request)}

    def asset(self, request: Request) -> Facts:
        asset = request.path_params["asset"].lower()
        facts = self._ledger.asset_facts(asset, EPOCHS_IN_STATEMENT) if _is_hex(asset, 32) else None
        network = self._following.network
        if facts is None or network is None:
            raise HTTPException(404, f"No final epoch knows an asset {asset[:80]}. An asset's id is 0x and 64 hex digits.")
        told = statements.tell(facts, self._following.currencies, network, self._following.rpc)
        return {"statement": told.as_dict(), "paid_by": self._ledger.named_by(asset)}

    def accounts(self, request: Request) -> Facts:
        return {"accounts": _paged(self._ledger.accounts(*_asked(request)), request)}

    def account(self, request: Request) -> Facts:
        account = request.path_params["account"].lower()
        row = self._ledger.account(account) if _is_hex(account, 20) else None
        network = self._following.network
        if row is None or network is None:
            raise HTTPException(404, f"Nothing here knows an account {account[:80]}. An account is 0x and 40 hex digits.")
        purse = wallets.purses(network, self._following.rpc, [account])[account]
        left, fees_left = _left(row["rewards"], purse.taken), _left(row["fees"], purse.fees_taken)
        told = {**row, **asdict(purse), "left": left, "fees_left": fees_left}
        before = wallets.earlier(network, self._following.rpc, account, row["earlier"])
        earlier = [
            {**asdict(each), "left": _left(each.rewards, each.taken), "fees_left": _left(each.fees, each.fees_taken)} for each in before
        ]
        return {"account": {**told, "earlier": earlier}}

    def customers(self, request: Request) -> Facts:
        return {"customers": _paged(self._ledger.customers(*_asked(request)), request)}

    def customer(self, request: Request) -> Facts:
        account = request.path_params["account"].lower()
        row = self._ledger.customer(account) if _is_hex(account, 20) else None
        if row is None:
            raise HTTPException(404, f"{account[:80]} never had a channel. A customer is an account: 0x and 40 hex digits.")
        lanes = self._ledger.lanes(account, size=MAX_PAGE)
        return {
            "customer": {**row, "settled": bills.sum_of(self._ledger.settled(account))},
            "lanes": [bills.lane_told(each, self._following.chain_unix_s) for each in lanes.rows],
            "bill": _paged(self._ledger.bill(account, *_asked(request)), request),
            "epochs": [{**each, **bills.shares_of(each)} for each in self._ledger.bill_epochs(account, size=EPOCHS_IN_STATEMENT).rows],
        }

    def raises(self, request: Request) -> Facts:
        page = self._ledger.raises(*_asked(request))
        now = self._following.chain_unix_s
        return {"raises": _paged(replace(page, rows=[{**row, "state": raising.state_of(row, now)} for row in page.rows]), request)}

    def a_raise(self, request: Request) -> Facts:
        address = request.path_params["address"].lower()
        row = self._ledger.a_raise(address) if _is_hex(address, 20) else None
        network = self._following.network
        if row is None or network is None:
            raise HTTPException(404, f"No raise has the address {address[:80]}. It is 0x and 40 hex digits.")
        now = self._following.chain_unix_s
        holders = self._ledger.holders(address, *_asked(request))
        parts = [{**each, "part_bps": raising.part_bps(each["shares"], row["supply"])} for each in holders.rows]
        purse = wallets.purses(network, self._following.rpc, [address])[address]
        booked = self._ledger.account(address) or {"rewards": "0", "fees": "0"}
        told = {
            **row,
            "state": raising.state_of(row, now),
            "topics": row["topics"].split(),
            "milestones": [raising.milestone_told(each, row, now) for each in row["milestones"]],
            "revenue": raising.revenue_told(row, purse, booked, self._following.currencies.one, now),
        }
        return {"raise": told, "holders": _paged(replace(holders, rows=parts), request)}

    def proposals(self, request: Request) -> Facts:
        return {"proposals": self._asking(self.deciding.proposals) if self._following.network else []}

    def proposal(self, request: Request) -> Facts:
        number = request.path_params["number"]
        last_epoch = self._ledger.totals()["last_epoch"]
        found = self._asking(lambda network: self.deciding.proposal(network, number, last_epoch))
        if found is None:
            raise HTTPException(404, f"There is no proposal {number}.")
        return {"proposal": found}

    def _asking(self, ask: Callable[[Network], Any]) -> Any:
        """What only the chain knows. Errors: 503 while it does not answer, or no network is known yet."""
        network = self._following.network
        if network is None:
            raise HTTPException(503, "The network is not known yet. Look again in a moment.")
        try:
            return ask(network)
        except (RpcError, RpcUnreachable, ChainRefused) as error:
            raise HTTPException(503, f"The chain does not answer: {error}") from error

    def refusals(self, request: Request) -> Facts:
        asset, reason = (request.query_params.get(name, "").strip()[:100] for name in ("asset", "reason"))
        number, size = _asked(request)
        epoch = _whole(request.query_params.get("epoch", ""))
        page = self._ledger.refusals(asset=asset.lower(), reason=reason, epoch=epoch, number=number, size=size)
        return {"refusals": _paged(page, request), "asset": asset, "reason": reason, "epoch": epoch, "reasons": self._ledger.reasons()}

    def about(self, request: Request) -> Facts:
        totals = self._ledger.totals()
        return {"last_epoch": totals["last_epoch"], "rpc": self._following.rpc_url, "archive": self._following.archive_url}

    def healthz(self, request: Request) -> Response:
        """200 while pages and following work; 503 when following has been stuck for a minute."""
        answer = {"ok": not self._following.stuck, "trouble": self._following.trouble, "last_epoch": self._ledger.totals()["last_epoch"]}
        return JSONResponse(answer, status_code=200 if answer["ok"] else 503)

    async def refused(self, request: Request, error: Exception) -> Response:
        """What could not be shown, in the form that was asked for."""
        assert isinstance(error, HTTPException)
        detail = error.detail if error.status_code != 404 or error.detail != "Not Found" else f"There is no page {request.url.path[:200]}."
        return self._problem(request, error.status_code, detail, error.headers)

    async def failed(self, request: Request, error: Exception) -> Response:
        """A fault of ours; the log knows more."""
        return self._problem(request, 500, "This page could not be made. The explorer's log says why.", None)

    def _problem(self, request: Request, status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
        if request.url.path.endswith(".json"):
            body = {"type": "about:blank", "title": "Not found" if status == 404 else "Error", "status": status, "detail": detail}
            return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)
        return self._html(request, "error", {"status": status, "detail": detail}, status, headers)

    def _as_json(self, facts: Callable[[Request], Facts]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            body = {"network": self._network_facts(), **facts(request)}
            return Response(msgspec.json.encode(body), media_type="application/json", headers={"access-control-allow-origin": "*"})

        return answer

    def _as_page(self, template: str, facts: Callable[[Request], Facts]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return self._html(request, template, facts(request))

        return answer

    def _html(
        self, request: Request, template: str, facts: Facts, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> HTMLResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        shown = {
            "network": self._network_facts(),
            "token": self._following.currencies.token,
            "payment": self._following.currencies.payment,
            "trouble": self._following.trouble,
            "page": template,
            "refresh_s": 0,
            "json_path": ("/index" if request.url.path == "/" else request.url.path) + ".json" + query,
            **facts,
        }
        return HTMLResponse(self._templates.get_template(f"{template}.html").render(shown), status_code=status, headers=headers)

    def _network_facts(self) -> Facts | None:
        network = self._following.network
        return _network_facts(network, self._following) if network else None


class _Headers:
    """Every answer forbids scripts, frames and what comes from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def bars(statement: Mapping[str, Any]) -> list[Facts]:
    """The chart of an asset: for each epoch, where its bar of accepted work stands and its mark of refused intervals hangs, in per
    mille of the picture. Every epoch between the first and the last has a place."""
    epochs = {each["epoch"]: each for each in statement["epochs"]}
    if not epochs:
        return []
    places = range(min(epochs), max(epochs) + 1)
    most_units = max(1, *(each["units"] for each in epochs.values()))
    most_lines = max(1, *(each["refused"] + each["held"] for each in epochs.values()))
    step = 1000 // max(len(places), 12)
    drawn = []
    for at, epoch in enumerate(places):
        each = epochs.get(epoch)
        if each:
            up, down = 700 * each["units"] // most_units, 250 * (each["refused"] + each["held"]) // most_lines
            drawn.append({"epoch": each, "x": at * step, "width": step * 4 // 5, "up": up, "down": down})
    return drawn


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=words.count,
        moment=words.moment,
        short=_short,
        digits=_digits,
        long=_long,
        percent=_percent,
    )
    environment.globals.update(span=words.span, bars=bars, unit_words_of=statements.unit_words_of)
    return environment


def _network_facts(network: Network, following: Following) -> Facts:
    clock = network.clock
    return {
        "name": network.name,
        "chain_id": network.chain_id,
        "id": "0x" + network.id.hex(),
        "genesis_unix_s": clock.genesis_unix_s,
        "epoch_seconds": clock.epoch_seconds,
        "challenge_seconds": clock.challenge_seconds,
        "contracts": {name: "0x" + getattr(network.contracts, name).hex() for name in network.contracts.__struct_fields__},
        "token": asdict(following.currencies.token),
        "payment": asdict(following.currencies.payment),
        "archives": list(dict.fromkeys([following.archive_url, *(f"{each}/archive" for each in network.nodes.verifiers)])),
    }


def _asked(request: Request) -> tuple[int, int]:
    """Which page, and how many rows on it; whatever cannot be understood is page 1 of 50."""
    number, size = (_whole(request.query_params.get(name, "")) for name in ("page", "size"))
    return max(1, number or 1), min(MAX_PAGE, max(1, size or 50))


def _whole(text: str) -> int | None:
    """A number below 10^9 that a query gives, or None if it gives none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _paged(page: Page, request: Request) -> Facts:
    others = request.query_params
    links = {"previous": page.number - 1 if page.number > 1 else None, "next": page.number + 1 if page.number < page.pages else None}
    urls = {name: str(request.url.include_query_params(page=to).query) if to else None for name, to in links.items()}
    return {
        "rows": page.rows,
        "page": page.number,
        "pages": page.pages,
        "total": page.total,
        "size": others.get("size", "50"),
        "links": urls,
    }


def _is_hex(text: str, length: int) -> bool:
    return len(text) == 2 + 2 * length and text.startswith("0x") and all(each in "0123456789abcdef" for each in text[2:])


def _short(text: str) -> str:
    """An id as people compare them; the whole one stands beside or behind it."""
    return f"{text[:6]}…{text[-4:]}" if len(text) > 20 else text


def _digits(base_units: str | int, decimals: int) -> Markup:
    """An exact amount that may wrap between thousands, the digits that few care about dimmed."""
    whole, _, part = words.decimal(base_units, decimals).partition(".")
    groups = _thousands(whole)
    if not part:
        return groups
    part = part.ljust(decimals, "0")
    # A small amount must not look like none where the tail is hidden.
    leading = len(part) - len(part.lstrip("0")) + 1 if whole == "0" else 0
    shown = max(_DIMMED_FROM, leading)
    if decimals <= _WRITTEN_OUT or shown >= decimals:
        return Markup("{}.{}").format(groups, part)
    return Markup('{}.{}<wbr><span class="tail">{}</span>').format(groups, part[:shown], part[shown:])


def _long(number: int) -> Markup:
    """A count that may wrap between thousands."""
    return _thousands(words.count(number))


def _thousands(number: str) -> Markup:
    return Markup(",<wbr>").join(number.split(","))


def _percent(bps: int) -> str:
    """Basis points as per cent: "12.5 %"."""
    return f"{words.decimal(bps, 2)} %"


def _left(total: str, taken: str | None) -> str | None:
    """What can still be claimed."""
    return None if taken is None else str(max(0, int(total) - int(taken)))
