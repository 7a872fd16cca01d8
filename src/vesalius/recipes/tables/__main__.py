"""`python -m vesalius.recipes.tables [README.md]` writes the results into the README of the current folder."""

import sys
from pathlib import Path

from vesalius.recipes.tables import experiments, markdown, put

path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
path.write_text(put(path.read_text(encoding="utf-8"), markdown(experiments()), path), encoding="utf-8")
