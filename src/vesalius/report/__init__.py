"""One page that shows what was measured. It reads config.json, metrics.jsonl, results.jsonl and the artefacts they name.

folders: what lies in the folders given. tables: rows -> cells with intervals. claims: named checks with a verdict.
measures: what each measure asks. plots, overlays: pictures. sections, page: HTML. command: `vesalius report`.
"""
