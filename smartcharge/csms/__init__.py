"""OCPP: the room that talks to charging stations."""
