"""Known vulnerabilities of what is installed, as pip-audit finds them: `make audit`.

An index that cannot be reached is said, and is no failure: nobody could act on it. Arguments are pip-audit's.
"""

import json
import subprocess
import sys
from typing import Any


def main(arguments: list[str]) -> int:
    """Print what was found, and return 1 if that is anything."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except ValueError:
        reason = (result.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        print(f"NOTHING WAS AUDITED: {reason}", file=sys.stderr)
        return 0
    found = [_line(package, problem) for package in packages for problem in package.get("vulns", ())]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    print("\n".join([*found, f"{len(packages) - len(skipped)} packages audited, {len(found)} vulnerabilities found"]))
    if len(skipped) == len(packages):
        print("NOTHING WAS AUDITED: the index answers, but knows none of them", file=sys.stderr)
    elif skipped:
        print(f"NOT AUDITED, the index does not know them: {', '.join(sorted(skipped))}", file=sys.stderr)
    return 1 if found else 0


def _line(package: dict[str, Any], problem: dict[str, Any]) -> str:
    names = ", ".join([problem["id"], *problem.get("aliases", ())])
    fixed = ", ".join(problem.get("fix_versions", ())) or "no version"
    return f"{package['name']} {package['version']}: {names}, fixed in {fixed}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
