"""A data folder with the product over it, in this process: opened as a server opens it, asked over real connections."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from appliance import config
from appliance.accounts import users
from appliance.app import Appliance, open_appliance
from appliance.config import Settings
from appliance.errors import DataFolderBusy
from appliance.principal import Principal
from appliance.principal import system as system_principal
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import finish_store, prepare_store
from appliance.web import build_wsgi
from providers.http.limits import Limits
from providers.http.server import HttpServer
from tests.server.dav_client import Dav
from tests.server.running import ADMIN, PASSWORD

_PATIENCE_S = 20.0


@dataclass
class Known:
    """What clients of a scene know: an app password of the administrator (quick to verify), a lock's token,
    what is in the trash, and a moment at which /docs was different.
    """

    secret: str = ""
    token: str = ""
    trashed_id: int = 0
    moment: int = 0


class Opened:
    """The services, a server in threads, and a client of it."""

    def __init__(self, settings: Settings, secret: str) -> None:
        self.appliance: Appliance = open_appliance(settings)
        self.errors: list[str] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._http = HttpServer(
            build_wsgi(self.appliance), listener, threads=2, limits=Limits(), on_error=self.errors.append
        )
        self._http.prepare()
        self._thread = threading.Thread(target=self._http.serve, name="accept", daemon=True)
        self._thread.start()
        self.dav = Dav(self.port, ADMIN, secret, _PATIENCE_S)

    def close(self) -> None:
        """As a worker ends."""
        answered = self._http.stop(_PATIENCE_S)
        self.dav.close()
        assert answered, "a request is still being answered"
        self._thread.join(_PATIENCE_S)
        self.appliance.close()


@dataclass
class Stage:
    """A data folder below ``root``. What is ``opened`` is closed again by ``close``.

    ``planted``: something in it was damaged on purpose.
    """

    root: Path
    known: Known
    durability: str = "safe"
    planted: bool = False
    seal: str = "off"
    opened: Opened | None = None
    told: list[str] = field(default_factory=list)
    _claim: int = -1

    @property
    def settings(self) -> Settings:
        """As the scene's server has them."""
        environ = {
            "HOLDFAST_DATA": str(self.root / "data"),
            "HOLDFAST_ADMIN_PASSWORD": PASSWORD,
            "HOLDFAST_DURABILITY": self.durability,
            "HOLDFAST_SEAL": self.seal,
            "HOLDFAST_WORKERS": "1",
            "HOLDFAST_LISTEN": "127.0.0.1:0",
        }
        return config.load(None, environ, {})

    @property
    def appliance(self) -> Appliance:
        """Of a stage that is open."""
        assert self.opened is not None
        return self.opened.appliance

    @property
    def dav(self) -> Dav:
        """Of a stage that is open."""
        assert self.opened is not None
        return self.opened.dav

    def client(self, user: str, password: str) -> Dav:
        """Another client of a stage that is open."""
        assert self.opened is not None
        return Dav(self.opened.port, user, password, _PATIENCE_S)

    @property
    def principal(self) -> Principal:
        """Whoever runs the server, in the administrator's tree."""
        return system_principal(users.get(self.appliance.database, ADMIN).id, face="cli")

    def start(self) -> None:
        """What comes before the first worker. Whatever it raises, it can be called again."""
        settings = self.settings
        self._claim = hold_folder(settings.data)
        try:
            prepare_store(settings, tell=self.told.append)
        except BaseException:
            self.let_go()
            raise

    def open(self) -> Stage:
        """Start, and serve."""
        self.start()
        self.serve()
        return self

    def serve(self) -> None:
        """As a worker begins, on a store that was started."""
        self.opened = Opened(self.settings, self.known.secret)

    def end_serving(self) -> None:
        """As the last worker ends."""
        if self.opened is not None:
            opened, self.opened = self.opened, None
            opened.close()

    def finish(self) -> None:
        """What comes after the last worker."""
        finish_store(self.settings)
        self.let_go()

    def close(self) -> None:
        """An orderly stop."""
        self.end_serving()
        self.finish()

    def let_go(self) -> None:
        """Give the claim on the folder back."""
        claim, self._claim = self._claim, -1
        if claim >= 0:
            os.close(claim)

    def require_free(self) -> None:
        """Raises DataFolderBusy while a server holds the folder; nothing is made."""
        claim = os.open(self.root / "data" / "server.lock", os.O_RDWR)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataFolderBusy(folder=str(self.root)) from error
        finally:
            os.close(claim)
