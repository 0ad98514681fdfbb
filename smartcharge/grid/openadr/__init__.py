"""OpenADR 3.0.1 and 3.1.0, the side of the site (VEN).

Read in this order: `messages` (what is said), `intervals` (from an event to times and values), `limits`
(from values to grid limits), `client` (tokens and pages), `ven` (the source).
"""
