"""Numbers in, numbers out: the optimisation behind a plan.  Knows no OCPP, no MQTT, no clock."""
