"""What keeps a site in service: how available it was, by whose definition, and what every minute is traced to.

Figures: `spans` (stretches of time), `ports` (what is looked after), `timeline` (facts become
outages), `exclusions` (outages that do not count, with their evidence), `availability` (figures by each
definition), `sessions` (which charges worked), `report` (all of it, by month).

Work: `work_orders` (the fold of the logbook), `triage` (which facts call for somebody), `desk` (what may
be written), `plans` (inspections and cleaning), `foreman` (reads facts, keeps the logbook, tells listeners),
`clerk` (takes what people say from afar), `webhook` and `bulletin` (the listeners), `trials` and `plausibility`
(self-tests), `forecast` and `windows` (when work costs drivers least).

Compatibility: `connectors`, `vehicles` (which cars can charge here), `makes` (how stations do).

Firmware: `firmware` (campaigns and what to do next), `campaign_file`, `updater` (does it), `rollout` (over several
sites).
"""
