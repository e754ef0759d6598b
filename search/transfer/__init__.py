"""Does a gain hold at another size or budget? `python -m search.transfer NAME --scale ... --budget ...`.

`scale` reads what is to be changed, `steps` plans a comparison for each step of the lineage, `check` trains, `judge`
computes, `record` keeps, and `text` prints. Nothing here changes the search: its ledger is only read.
"""
