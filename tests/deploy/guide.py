"""docs/deploy.md, as commands to follow."""

import re

from tests.deploy.machine import Machine
from tests.server import ROOT

GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SIGN = "PLATFORM 4\n\nMIND THE STEP"
"""What is read on the image that the guide has a user send."""


def section(title: str) -> str:
    """Return what stands below a title of the guide."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    return str(text)


def blocks(title: str) -> list[str]:
    """Return the commands below a title of the guide."""
    return re.findall(r"```bash\n(.*?)```", section(title), re.DOTALL)


def follow_laptop(machine: Machine, seconds: float) -> str:
    """Start the service as on a laptop, which may take so many seconds; return what the user is answered."""
    start, ask = blocks("A laptop")
    machine.run(start)
    machine.run(
        f"curl -sS -o /dev/null --retry {seconds:.0f} --retry-delay 1 --retry-connrefused localhost:5000/readyz",
        seconds,
    )
    return machine.run(f"cd image-to-text\n{ask}")
