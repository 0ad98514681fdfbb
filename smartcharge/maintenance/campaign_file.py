"""A campaign as people write it (TOML), and a list of versions that are known to be vulnerable (CSV)."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartcharge.errors import ConfigError, MaintenanceError
from smartcharge.events import StationBooted
from smartcharge.maintenance.desk import ITSELF
from smartcharge.maintenance.firmware import CampaignStarted, Image, Rules, firmware
from smartcharge.maintenance.makes import Make
from smartcharge.maintenance.ports import Place
from smartcharge.model import StationId
from smartcharge.ports import Kept

_RULES: Final = Rules()
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ImageKeys(_Keys):
    """A firmware file."""

    version: Annotated[str, Field(min_length=1)]
    location: Annotated[str, Field(pattern=r"^[a-z]+://")]
    certificate_file: str | None = None
    """PEM, relative to the campaign's file; with ``signature`` the order is a signed one."""
    signature: str | None = None


class CampaignKeys(_Keys):
    """A campaign."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
    vendor: str
    model: str
    image: ImageKeys
    rollback: ImageKeys | None = None
    first: list[str] = []
    """The first ring, by name: stations that somebody watches; without one the first share begins."""
    shares: Annotated[list[Share], Field(min_length=1)] = [0.05, 0.25, 0.5, 1.0]
    """How much of all stations of the make has been updated after each further ring."""
    soak_h: Annotated[float, Field(ge=0.0)] = _RULES.soak_s / 3600.0
    patience_min: Annotated[float, Field(gt=0.0)] = _RULES.patience_s / 60.0
    most_failed: Annotated[float, Field(ge=0.0, lt=1.0)] = _RULES.most_failed
    least_available: Annotated[float, Field(ge=0.0, lt=1.0)] = _RULES.least_available


def read_campaign(path: Path) -> CampaignKeys:
    """Return a campaign; raises ConfigError with one line ``file: key: reason`` for every error."""
    try:
        keys = CampaignKeys.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML in UTF-8: {error}") from error
    except ValidationError as error:
        found = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError("\n".join(found)) from error
    for name, image in (("image", keys.image), ("rollback", keys.rollback)):
        if image is not None and (image.certificate_file is None) != (image.signature is None):
            raise ConfigError(f"{path}: {name}: certificate_file and signature go together")
    if keys.shares != sorted(set(keys.shares)):
        raise ConfigError(f"{path}: shares: must ascend")
    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a campaign is to do, wherever it is begun: a campaign file with its certificates read."""

    vendor: str
    model: str
    image: Image
    rollback: Image | None
    first: tuple[str, ...]
    shares: tuple[float, ...]
    rules: Rules


def wanted(keys: CampaignKeys, folder: Path) -> Wanted:
    """Return what a campaign file wants; certificates are relative to ``folder``.  Raises ConfigError."""
    return Wanted(
        vendor=keys.vendor,
        model=keys.model,
        image=_image(keys.image, folder),
        rollback=None if keys.rollback is None else _image(keys.rollback, folder),
        first=tuple(keys.first),
        shares=tuple(keys.shares),
        rules=Rules(
            soak_s=3600.0 * keys.soak_h,
            patience_s=60.0 * keys.patience_min,
            most_failed=keys.most_failed,
            least_available=keys.least_available,
        ),
    )


def begin(
    keys: CampaignKeys, folder: Path, place: Place, facts: Sequence[Kept], line: tuple[str, float]
) -> CampaignStarted:
    """Return the start of a campaign, by (author, time [s since 1970]); raises MaintenanceError, ConfigError.

    Its stations are those that said at their last boot that they are of the make and run another version.
    """
    author, at_s = line
    begun = replace(started(keys.id, wanted(keys, folder), place, facts, at_s), author=author)
    mine = {station for ring in begun.rings for station in ring}
    if missing := [name for name in keys.first if name not in mine]:
        reason = f"{', '.join(missing)}: not a {keys.vendor} {keys.model} of this site on another version"
        raise MaintenanceError(f"campaign {keys.id}: {reason}")
    return begun


def started(name: str, what: Wanted, place: Place, facts: Sequence[Kept], at_s: float) -> CampaignStarted:
    """Return the start of a campaign at a site, with the stations that it has for it: there may be none."""
    runs = firmware(facts)
    mine = [s for s in dict.fromkeys(port.station for port in place.ports) if _is_due(runs.get(s), what)]
    return CampaignStarted(
        at_s=at_s,
        campaign=name,
        author=ITSELF,
        image=what.image,
        rings=_rings(what, mine),
        rules=what.rules,
        rollback=what.rollback,
    )


def _is_due(boot: StationBooted | None, what: Wanted) -> bool:
    is_make = boot is not None and (boot.vendor, boot.model) == (what.vendor, what.model)
    return boot is not None and is_make and boot.firmware != what.image.version


def _rings(what: Wanted, mine: Sequence[StationId]) -> tuple[tuple[StationId, ...], ...]:
    rings = [tuple(station for station in mine if station in what.first)]
    others = [station for station in mine if station not in what.first]
    done = len(rings[0])
    for share in what.shares:
        count = max(ceil(share * len(mine) - 1e-9) - done, 0)
        rings.append(tuple(others[:count]))
        others, done = others[count:], done + count
    return tuple(ring for ring in rings if ring)


def _image(keys: ImageKeys, folder: Path) -> Image:
    certificate = None
    if keys.certificate_file is not None:
        try:
            certificate = (folder / keys.certificate_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{folder / keys.certificate_file} cannot be read: {error}") from error
    return Image(
        version=keys.version, location=keys.location, signing_certificate=certificate, signature=keys.signature
    )


def read_vulnerable(path: Path) -> Mapping[Make, str]:
    """Return the advisory for each vulnerable version in a CSV of vendor, model, firmware, advisory; ConfigError."""
    columns = (*Make._fields, "advisory")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != columns:
                raise ConfigError(f"{path}:1: the columns must be {','.join(columns)}")
            found: dict[Make, str] = {}
            for row in reader:
                if None in row or not all(row[name] for name in columns):
                    raise ConfigError(f"{path}:{reader.line_num}: must have {len(columns)} cells, none of them empty")
                found[Make(row["vendor"], row["model"], row["firmware"])] = row["advisory"]
            return found
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: is not CSV in UTF-8: {error}") from error
