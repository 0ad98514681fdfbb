"""A small site, its cars, and what a command said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SITE = """
[site]
id = "yard"
name = "The [small] yard"
timezone = "Europe/Amsterdam"

[store]
url = "sqlite:///{folder}/yard.db"

[ocpp]
host = "127.0.0.1"

[[circuits]]
id = "main"
voltage_v = 230
rating_a = 40
failsafe_a = 30
uncontrolled_a = 4

[[stations]]
ids = ["s-{{1..4}}"]
circuit = "main"
wiring = "3-phase"
min_a = 6
max_a = 32
default_a = 6
"""
CARS = """\
arrival,departure,energy_wh,evse,max_w,phases
2024-05-06T07:58+02:00,2024-05-06T10:40+02:00,12000,s-1,22000,3
2024-05-06T08:00+02:00,2024-05-06T11:05+02:00,9800,s-2,22000,3
2024-05-07T08:00+02:00,2024-05-07T11:05+02:00,1000,s-3,7400,1
"""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Typed = Callable[..., Said]
