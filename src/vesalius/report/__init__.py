"""One page that shows what was measured. It reads config.json, metrics.jsonl, results.jsonl and the artefacts they name.

folders, names: what lies in the folders given, and whose run is whose. leaks: runs that had seen the test. tables: rows ->
cells with intervals. claims: named checks with a verdict. measures: what each measure asks. efficiency, pooled: levels over
numbers of labelled patients. paired, family: run against run. plots, bands, overlays, cases: pictures. chapters, transfer,
sections, page: HTML. command: `vesalius report`. compare: `vesalius compare`.
"""
