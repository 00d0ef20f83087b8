"""`python -m app.cli` is `i2t`."""

import sys

from app.cli.main import main

sys.exit(main())
