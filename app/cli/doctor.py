"""`i2t doctor`: what this machine has of what the service needs, and what to do about the rest."""

import importlib.util
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from app.cli.exits import Exit
from app.config import Settings, SettingsError
from models import weights
from models.backends.threads import cores
from models.discovery import discover, with_local_paths

_LEAST_MEMORY = 2e9
_LEAST_DISK = 2e9
_HUB_SECONDS = 5.0
_FAST = ("avx2", "avx512f", "amx_bf16", "avx512_bf16", "asimd")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing; `advice` says what to do, where something is to be done. Without what is `needed`
    the service does not work."""

    what: str
    found: str
    advice: str = ""
    needed: bool = False


def examine() -> int:
    """Print all findings; return 1 where something is missing that is needed."""
    try:
        settings = Settings.read()
    except SettingsError as error:
        click.echo(f"[!!] settings: {error}")
        return Exit.SOME_FAILED
    broken = False
    for look in _LOOKS:
        for finding in look(settings):
            bad = bool(finding.advice)
            broken = broken or (bad and finding.needed)
            mark = "!!" if bad and finding.needed else "--" if bad else "ok"
            click.echo(f"[{mark}] {finding.what}: {finding.found}{': ' + finding.advice if bad else ''}")
    return Exit.SOME_FAILED if broken else Exit.DONE


def _processor(settings: Settings) -> Iterator[Finding]:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if Path("/proc/cpuinfo").exists() else []
    fast = [flag for flag in _FAST if flag in flags]
    advice = "" if fast or not flags else "without AVX2 or NEON captions take several times as long"
    yield Finding("processor", f"{cores()} cores, {', '.join(fast) or 'features unknown'}", advice)


def _gpu(settings: Settings) -> Iterator[Finding]:
    # What NVIDIA's driver says on Linux: asking torch would take seconds.
    told = [path.read_text(encoding="utf-8") for path in Path("/proc/driver/nvidia/gpus").glob("*/information")]
    names = [line.partition(":")[2].strip() for text in told for line in text.splitlines() if line.startswith("Model")]
    yield Finding("GPU", "; ".join(names) or "none of NVIDIA's is seen; models run on the processor")


def _memory(settings: Settings) -> Iterator[Finding]:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        facts = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
        free = int(facts["MemAvailable"].split()[0]) * 1024
        advice = "end other programs, or set MAX_MODEL_MEMORY_MB" if free < _LEAST_MEMORY else ""
        yield Finding("memory", f"{free / 1e9:.1f} GB free", advice)
    try:
        from huggingface_hub.constants import HF_HUB_CACHE

        place = next(path for path in (Path(HF_HUB_CACHE), *Path(HF_HUB_CACHE).parents) if path.exists())
        room = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding("disk", f"cannot be looked at ({error.strerror})", "set HF_HOME to a directory that can")
        return
    advice = "set HF_HOME to a larger disk" if room < _LEAST_DISK else ""
    yield Finding("disk", f"{room / 1e9:.1f} GB free for models in {HF_HUB_CACHE}", advice)


def _libraries(settings: Settings) -> Iterator[Finding]:
    for name in ("torch", "transformers", "openvino", "rapidocr", "pypdfium2", "pillow_heif"):
        if importlib.util.find_spec(name) is None:
            yield Finding(name, "not installed", "make install, or pip install -r requirements.txt", needed=True)


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        known = with_local_paths(discover(), settings.model_paths)
    except ValueError as error:
        yield Finding("models", f"MODEL_PATHS: {error}", "correct it", needed=True)
        return
    here = [name for name, model in known.items() if weights.find(model.source, model.files)]
    advice = "" if "blip-base" in here or "blip-large" in here else "i2t models download blip-base captions better"
    yield Finding("models", ", ".join(here), advice)


def _hub(settings: Settings) -> Iterator[Finding]:
    import requests
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        yield Finding("hub", "HF_HUB_OFFLINE is set: nothing is downloaded")
        return
    try:
        requests.head(ENDPOINT, timeout=_HUB_SECONDS)
    except requests.RequestException as error:
        advice = "only models that are here can be used; look at proxies, or copy a model and name it in MODEL_PATHS"
        yield Finding("hub", f"{ENDPOINT} cannot be reached ({type(error).__name__})", advice)
    else:
        yield Finding("hub", f"{ENDPOINT} answers")


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((settings.host, settings.port))
        except OSError as error:
            advice = "a service may be running already; PORT chooses another"
            yield Finding("port", f"{settings.host}:{settings.port} is not free ({error.strerror})", advice)
            return
    yield Finding("port", f"{settings.host}:{settings.port} is free")


def _programs(settings: Settings) -> Iterator[Finding]:
    install = {"exiftool": "apt install libimage-exiftool-perl", "tesseract": "apt install tesseract-ocr"}
    uses = {
        "exiftool": "--write-metadata and --only-missing need it",
        "tesseract": "it reads Cyrillic, Greek, Arabic and other scripts, with a package for each language",
    }
    for name, how in install.items():
        where = shutil.which(name)
        yield Finding(name, where or "not installed", "" if where else f"{uses[name]} ({how})")


_LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    *(_processor, _gpu, _memory, _libraries, _models, _hub, _port, _programs),
)
