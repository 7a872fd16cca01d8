"""`python -m vesalius.recipes.tables [docs/results.md]` writes the results into that page, in the current folder."""

import sys
from pathlib import Path

from vesalius.recipes.tables import experiments, markdown, put

path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/results.md")
path.write_text(put(path.read_text(encoding="utf-8"), markdown(experiments()), path), encoding="utf-8")
