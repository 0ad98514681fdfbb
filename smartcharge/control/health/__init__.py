"""Faulty hardware: what it is called, how it is noticed, what it costs an EVSE, and how it comes back.

`vocabulary` says what a code means, `watch` and `sessions` fold what is measured, `detect` finds faults in it,
`rules` is the table of what is done about each, `derating` takes the steps, `site` sees what concerns more than one
EVSE, `score` tells who is likely to fail.
"""
