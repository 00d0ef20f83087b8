"""What the commands of training have in common."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A command line of which only what is wrong is said, not all that it takes."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n{self.prog} --help says what there is\n")
