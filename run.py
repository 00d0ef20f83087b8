"""Start the service: read the settings, make the application, serve it. The same as `i2t serve`."""

import sys

from app.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
