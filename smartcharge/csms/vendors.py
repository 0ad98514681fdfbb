"""Commands of vendors by which stations without usable charging profiles are limited.

They are tried after every form of charging profile was refused, on stations of that make only: the same name
may mean something else to another vendor.  What the site file states goes before.

=============  ======================  =========================================================
vendor         command                 source
=============  ======================  =========================================================
ABL            DataTransfer SetLimit   ABL eMH OCPP manual; the current of one outlet [A]
IES            key PowerLimit          IES Keywatt OCPP configuration keys; of the station [W]
=============  ======================  =========================================================
"""

from __future__ import annotations

from typing import NamedTuple

from smartcharge.model import Form, Way


class Command(NamedTuple):
    """How stations of a make are limited."""

    vendor: str
    """A word in what the station calls its vendor or model, in lower case."""
    form: Form
    is_of_station: bool = False
    """Whether it limits the station as a whole: of use where it has one EVSE."""


COMMANDS = (
    Command("abl", Form(way=Way.TRANSFER, command="ABL/SetLimit", value="logicalid={evse};value={a}")),
    Command("ies", Form(way=Way.KEY, command="PowerLimit", value="{w}"), is_of_station=True),
    Command("keywatt", Form(way=Way.KEY, command="PowerLimit", value="{w}"), is_of_station=True),
)


def commands(vendor: str | None, model: str | None, *, is_alone: bool) -> tuple[Form, ...]:
    """Return the vendor's own ways of a make, for a station that has one EVSE or several."""
    words = f"{vendor or ''} {model or ''}".lower().replace("-", " ").split()
    found = [c.form for c in COMMANDS if c.vendor in words and (is_alone or not c.is_of_station)]
    return tuple(dict.fromkeys(found))
