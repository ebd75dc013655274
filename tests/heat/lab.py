"""A real OpenStack in a directory: MariaDB, keystone, and Heat with both of its APIs, on free ports of the loopback
address.
"""

import grp
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from heat import configuration, install

HOST = "127.0.0.1"
# Nothing here takes so long on the slowest machine: who waits longer waits for something that never comes.
PATIENCE = 600.0
# A day: for every test but those that shorten it.
LONG_TTL = 1440
SERVICES = Path(__file__).resolve().parent / "services"


class Lab:
    """Use as a context manager. ``pacing`` are the seconds that Heat pauses after each resource of a traversal; its own
    1 s costs time.
    """

    def __init__(self, directory: Path, *, pacing: str = "") -> None:
        self.directory = directory.absolute()
        self.venv = install.directory()
        assert install.is_installed(self.venv), f"Heat is not installed in {self.venv}; run: {install.COMMAND}"
        self.pacing = pacing
        self.sockets = {name: listening() for name in ("keystone", "heat", "cfn")}
        self.processes: Dict[str, subprocess.Popen[bytes]] = {}
        self.keystone_root, self.heat_url, self.cfn_url = (f"http://{HOST}:{self.port(name)}" for name in self.sockets)
        self.keystone_url = f"{self.keystone_root}/v3"

    def port(self, name: str) -> int:
        return int(self.sockets[name].getsockname()[1])

    def __enter__(self) -> "Lab":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for name in [*self.processes][::-1]:
            self._end(name)
        for one in self.sockets.values():
            one.close()

    def restart_keystone(self, auth_ttl: int = LONG_TTL) -> None:
        """With another lifetime of signed URLs, in minutes: 0 is none. What connects meanwhile waits: the socket
        stays.
        """
        self._end("keystone")
        self._write_keystone(auth_ttl)
        self._start_keystone()

    def kill_heat(self) -> None:
        """End the engine and both APIs at once, as a crash does. Whoever calls them waits for ``start_heat``: the
        sockets stay.
        """
        self.kill("heat")

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def create_database(self, name: str) -> None:
        self.run("databases", [*self._client(), f"create database {name} character set utf8mb3"])

    def start_heat(self) -> None:
        argv = [self._bin("python"), str(SERVICES / "heat_all.py"), self._etc("heat/heat.conf")]
        self.serve("heat", [*argv, *(str(self.sockets[name].fileno()) for name in ("heat", "cfn"))], ("heat", "cfn"))
        self.wait_for("heat", f"{self.heat_url}/healthcheck")
        self.wait_for("heat", f"{self.cfn_url}/healthcheck")

    @property
    def engine_log(self) -> Path:
        return self.directory / "log/heat.log"

    # --- the parts

    def _start(self) -> None:
        for name in ("etc/keystone", "etc/heat", "log", "run"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self._start_mariadb()
        self._write_keystone(LONG_TTL)
        etc = str(self.venv / "etc/heat")
        heat = configuration.heat(str(self.directory), self.database("heat"), etc, self.keystone_root, self.cfn_url)
        self._write("etc/heat/heat.conf", heat)
        self._write("openrc", configuration.openrc(self.keystone_url, str(self.venv / "bin")))
        # The slow part is to make the tables: both at the same time.
        tables = self._popen(
            "heat-tables", [self._bin("heat-manage"), "--config-file", self._etc("heat/heat.conf"), "db_sync"]
        )
        self._make_keystone()
        self._start_keystone()
        self.run(
            "identities",
            [self._bin("python"), str(SERVICES / "identities.py"), self.keystone_url, self.heat_url, self.cfn_url],
        )
        assert tables.wait(PATIENCE) == 0, self._said("heat-tables")
        self.start_heat()

    def _start_mariadb(self) -> None:
        """Not SQLite: Heat works on several resources at a time, and fails with "database is locked"."""
        where, user = f"--datadir={self.directory}/mysql", f"--user={_user()}"
        make = [
            install.program("mariadb-install-db"),
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        self.run("mariadb-install-db", [*make, where, user])
        argv = [
            install.program("mariadbd"),
            "--no-defaults",
            where,
            user,
            f"--socket={self._socket}",
            "--skip-networking",
        ]
        argv += [
            f"--pid-file={self.directory}/run/mariadb.pid",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M",
        ]
        argv += ["--innodb-log-file-size=32M", "--max-connections=400", "--performance-schema=OFF"]
        self.serve("mariadb", argv, ())
        client = self._client()
        self._wait(
            "mariadb", lambda: subprocess.run([*client, "select 1"], capture_output=True, check=False).returncode == 0
        )
        for name in ("keystone", "heat"):
            self.create_database(name)

    def _make_keystone(self) -> None:
        manage = [self._bin("keystone-manage"), "--config-file", self._etc("keystone/keystone.conf")]
        owner = ["--keystone-user", _user(), "--keystone-group", _group()]
        urls = [
            part for kind in ("public", "internal", "admin") for part in (f"--bootstrap-{kind}-url", self.keystone_url)
        ]
        bootstrap = ["bootstrap", "--bootstrap-password", "secret", "--bootstrap-region-id", "RegionOne", *urls]
        for arguments in (["db_sync"], ["fernet_setup", *owner], ["credential_setup", *owner], bootstrap):
            self.run("keystone-manage", [*manage, *arguments])

    def _start_keystone(self) -> None:
        argv = [self._bin("python"), str(SERVICES / "keystone_wsgi.py"), self._etc("keystone/keystone.conf")]
        self.serve("keystone", [*argv, str(self.sockets["keystone"].fileno())], ("keystone",))
        self.wait_for("keystone", self.keystone_url)

    def _write_keystone(self, auth_ttl: int) -> None:
        self._write(
            "etc/keystone/keystone.conf",
            configuration.keystone(str(self.directory), self.database("keystone"), auth_ttl),
        )

    # --- how

    @property
    def _socket(self) -> Path:
        return self.directory / "run/mariadb.sock"

    def _client(self) -> List[str]:
        return [install.program("mariadb"), "--no-defaults", "-uroot", "-S", str(self._socket), "-e"]

    def database(self, name: str) -> str:
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self._socket}&charset=utf8"

    def _bin(self, name: str) -> str:
        return str(self.venv / "bin" / name)

    def _etc(self, name: str) -> str:
        return str(self.directory / "etc" / name)

    def _write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def _log(self, name: str) -> Path:
        return self.directory / "log" / f"{name}.out"

    def _said(self, name: str) -> str:
        return f"{name} failed:\n{self._log(name).read_text(encoding='utf-8', errors='replace')[-4000:]}"

    def _popen(self, name: str, argv: Sequence[str], sockets: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """Start a process that ends with this one, however this one ends."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("OS_") and not key.lower().endswith("_proxy")
        }
        # Ours has another package of the name heat.
        environment.pop("PYTHONPATH", None)
        # mariadbd names its temporary tables by its process id, which another one may have in a namespace of its own.
        environment["TMPDIR"] = str(self.directory / "run")
        environment.update({"HEAT_PACING": self.pacing} if self.pacing else {})
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self.sockets[one].fileno() for one in sockets],
                start_new_session=True,
            )

    def run(self, name: str, argv: Sequence[str]) -> None:
        assert self._popen(name, argv).wait(PATIENCE) == 0, self._said(name)

    def serve(self, name: str, argv: List[str], sockets: Sequence[str]) -> None:
        self.processes[name] = self._popen(name, argv, sockets)

    def _end(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait_for(self, name: str, url: str) -> None:
        self._wait(name, lambda: _answers(url))

    def _wait(self, name: str, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert self.processes[name].poll() is None, self._said(name)
            assert time.monotonic() < end, f"waited {PATIENCE:g} s for {name}; {self._said(name)}"
            time.sleep(0.1)


def listening() -> socket.socket:
    """A socket on a free port. It listens before its server runs, so no port is lost to somebody else and no caller is
    refused.
    """
    listening = socket.socket()
    listening.bind((HOST, 0))
    listening.listen(256)
    return listening


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _group() -> str:
    return grp.getgrgid(os.getegid()).gr_name
