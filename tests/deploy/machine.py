"""A machine that tests pretend to have: a directory with /opt, /etc and /var below it, free ports, and programs that
know of them.

`git clone` copies this checkout as it is, with Python's packages of these tests, unless `make` is to install them in
minutes. `systemctl` starts what a unit describes, and `nginx` is the real one with the machine's configuration. `sudo`
does what it is told, `apt-get` nothing. The rest is real.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.deploy.nginx import adapted, around
from tests.deploy.prometheus import free_port, program
from tests.server import ROOT

REPOSITORY = "https://github.com/OWNER/image-to-text"


class Machine:
    """A machine below a directory. Where nothing is `installed` yet, `make` does that."""

    def __init__(self, root: Path, installed: bool = True) -> None:
        self.root = root
        self.port, self.http, self.https = free_port(), free_port(), free_port()
        for directory in ("bin", "home", "opt", "run", "etc/systemd/system", "etc/nginx/conf.d", "var/log/nginx"):
            (root / directory).mkdir(parents=True)
        (root / "etc/nginx/nginx.conf").write_text(around(root / "etc/nginx/conf.d", root / "var/log/nginx"))
        known = f"I2T_MACHINE={root}:{self.port}:{self.http}:{self.https} PYTHONPATH={ROOT}"
        real = f"exec env {known} {sys.executable} -m tests.deploy.machine"
        for name, does in {
            "sudo": 'exec "$@"',
            "apt-get": "exit 0",
            **{name: f'{real} {name} "$@"' for name in ("git", "systemctl", "nginx")},
        }.items():
            path = root / "bin" / name
            path.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
            path.chmod(0o755)
        self.environment = {
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(root / "home"),
            "PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
            **({"I2T_INSTALLED": "1"} if installed else _pip_settings()),
        }

    def run(self, commands: str, seconds: float = 240) -> str:
        """Run the commands of a block in the user's home, and return what they print. Commands that go on, such as
        `make run`, are left running."""
        script = self.here(commands).replace("localhost:5000", f"localhost:{self.port}")
        script = script.replace("https://localhost/", f"https://localhost:{self.https}/")
        run = f"{self.root}/run/make"
        script = re.sub(r"\bmake run$", f"make run >{run}.log 2>&1 & echo $! >{run}.pid", script, flags=re.MULTILINE)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.root / "home",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert result.returncode == 0, (commands, result.stdout, result.stderr, self.logs())
        return result.stdout

    def here(self, text: str) -> str:
        """Return a text with the machine's own directories."""
        return re.sub(r"(?<![\w.}])/(opt|etc|var)/", rf"{self.root}/\1/", text)

    def logs(self) -> str:
        """Return what the services of this machine wrote."""
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(self.root.glob("**/*.log")))

    def stop(self) -> None:
        for file in (self.root / "run").glob("*.pid"):
            _stop(file)


def _pip_settings() -> dict[str, str]:
    """Return what this machine's pip is told, such as where packages come from."""
    return {"XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(Path.home() / ".config"))} | {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "SSL_CERT_FILE"
    }


def _stop(file: Path) -> None:
    """End the process whose id is in a file, and wait for that."""
    process = Path("/proc") / file.read_text(encoding="utf-8").strip()
    file.unlink()
    if not process.exists():
        return
    os.kill(int(process.name), signal.SIGTERM)
    end = time.monotonic() + 60
    # Its parent may be gone, and nobody look at how it ended.
    while process.exists() and " Z " not in (process / "stat").read_text(encoding="utf-8"):
        assert time.monotonic() < end, file.name
        time.sleep(0.05)


def _real(name: str) -> str:
    """Return the path of the program of that name that is not the machine's own."""
    return program(name, os.environ["PATH"].partition(":")[2])


class Programs:
    """The programs, as the machine's commands call them."""

    def __init__(self) -> None:
        root, self._port, http, https = os.environ["I2T_MACHINE"].rsplit(":", 3)
        self._root, self._http, self._https = Path(root), int(http), int(https)

    def git(self, verb: str, url: str, name: str) -> None:
        """Clone the checkout."""
        assert (verb, url) == ("clone", REPOSITORY)
        to = Path(name).absolute()
        to.mkdir()
        tracked = subprocess.run([_real("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["xargs", "-0", "cp", "--parents", "-t", str(to)], cwd=ROOT, input=tracked.stdout, check=True)
        if os.environ.get("I2T_INSTALLED"):
            (to / ".venv").mkdir()
            for path in ("bin", "lib", "pyvenv.cfg"):
                (to / ".venv" / path).symlink_to(Path(sys.prefix) / path)
            (to / ".venv" / ".installed").touch()
        unit, site = to / "deploy/systemd/image-to-text.service", to / "deploy/nginx/image-to-text.conf"
        unit.write_text(re.sub(r"(?<=[= -])/(opt|etc|var)/", rf"{self._root}/\1/", unit.read_text()))
        logs, tls = self._root / "var/log/nginx", self._root / "etc/nginx/tls"
        service = f"127.0.0.1:{self._port}"
        site.write_text(adapted(site.read_text(), service, self._http, self._https, tls, logs))

    def nginx(self, *arguments: str) -> None:
        """Run nginx with the machine's configuration."""
        subprocess.run([*self._nginx_command(), *arguments], check=True)

    def systemctl(self, verb: str, *words: str) -> None:
        """Start services, after those that run have been stopped; or read the units anew, for which nothing is done."""
        assert verb in ("daemon-reload", "enable", "restart")
        for name in (word for word in words if word != "--now"):
            pid = self._root / "run" / f"{name}.pid"
            if pid.exists():
                _stop(pid)
            start = self._start_nginx if name == "nginx" else self._start_unit
            with (self._root / "run" / f"{name}.log").open("ab") as log:
                pid.write_text(str(start(name, log.fileno()).pid))

    def _nginx_command(self) -> list[str]:
        log, etc = self._root / "var/log/nginx/error.log", self._root / "etc/nginx"
        return [_real("nginx"), "-e", str(log), "-p", str(etc), "-c", "nginx.conf"]

    def _start_nginx(self, _: str, log: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._nginx_command(), stdout=log, stderr=log)

    def _start_unit(self, name: str, log: int) -> "subprocess.Popen[bytes]":
        lines = (self._root / "etc/systemd/system" / f"{name}.service").read_text().splitlines()
        said = [line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#")]
        unit = dict(said)
        for directory, below in (("StateDirectory", "var/lib"), ("CacheDirectory", "var/cache")):
            (self._root / below / unit[directory]).mkdir(parents=True, exist_ok=True)
        settings = [value for setting, value in said if setting == "Environment"]
        settings += Path(unit["EnvironmentFile"].removeprefix("-")).read_text().splitlines()
        environment = dict(line.split("=", 1) for line in settings) | {"PORT": self._port, "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(
            unit["ExecStart"].split(), cwd=unit["WorkingDirectory"], env=environment, stdout=log, stderr=log
        )


if __name__ == "__main__":
    getattr(Programs(), sys.argv[1])(*sys.argv[2:])
