"""What keeps a site in service: how available it was, by whose definition, and what every minute is traced to.

Read in this order: `spans` (stretches of time), `ports` (what is looked after), `timeline` (facts
become outages), `exclusions` (outages that do not count, with their evidence), `availability` (figures
by each definition), `sessions` (which charges worked), `report` (all of it, by month).
"""
