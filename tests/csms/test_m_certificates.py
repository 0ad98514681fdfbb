"""OCPP 2.0.1 A02 and block M, 1.6 security extension: certificates that stations ask for, and get or do not."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from smartcharge.csms.server import Options
from smartcharge.csms.signing import Signer
from smartcharge.errors import ConfigError, Refused
from tests.csms.ocpp_peers import AC, EPOCH_S, STATION, V16, V21, V201, Answers, World, evse, in_world, station

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
YES: Answers = {"CertificateSigned": lambda _: {"status": "Accepted"}}


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, another key, and requests of the station and of somebody else."""
    made = tmp_path_factory.mktemp("authority")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(made, "req", "-x509", *curve, "-days", "2", "-subj", "/CN=site", "-keyout", "ca.key", "-out", "ca.pem")
    for name, subject in (("own", f"/O=Operator/CN={STATION}"), ("serial", "/CN=SN-7"), ("other", "/CN=CP 2")):
        openssl(made, "req", *curve, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    weak = ["-newkey", "rsa:1024", "-nodes"]
    openssl(made, "req", *weak, "-subj", f"/CN={STATION}", "-keyout", "weak.key", "-out", "weak.csr")
    return made


def options(folder: Path) -> Options:
    return Options(ping_interval_s=None, signer=Signer(folder / "ca.pem", folder / "ca.key", 30))


def chain_of(folder: Path, chain: str) -> Sequence[str]:
    """Check a chain with openssl, and return the lines of its first certificate."""
    (folder / "chain.pem").write_text(chain)
    openssl(folder, "verify", "-no_check_time", "-purpose", "sslclient", "-CAfile", "ca.pem", "chain.pem")
    return openssl(folder, "x509", "-in", "chain.pem", "-noout", "-subject", "-enddate").splitlines()


class TestA02SignCertificate:
    """A02: SignCertificate is accepted, and CertificateSigned brings the chain."""

    @EVERY
    def test_what_it_gets_names_the_station_and_verifies(self, version: str, folder: Path) -> None:
        csr = (folder / "own.csr").read_text()

        async def test(world: World) -> None:
            async with world.peer(version, YES) as peer:
                await peer.provisioned()
                assert (await peer.say("SignCertificate", {"csr": csr}))[2]["status"] == "Accepted"
                signed = await peer.asked_for("CertificateSigned")
                subject, ends = chain_of(folder, signed["certificateChain"])
                assert STATION in subject
                assert "Operator" in subject
                assert ends.startswith("notAfter=Dec 14")
                assert signed["certificateChain"].count("BEGIN CERTIFICATE") == 2

        in_world(test, station(evse(AC, 1)), options(folder))

    def test_2_1_says_which_request_it_answers(self, folder: Path) -> None:
        request = {"csr": (folder / "own.csr").read_text(), "requestId": 9}

        async def test(world: World) -> None:
            async with world.peer(V21, YES) as peer:
                await peer.provisioned()
                await peer.say("SignCertificate", request)
                assert (await peer.asked_for("CertificateSigned"))["requestId"] == 9

        in_world(test, station(evse(AC, 1)), options(folder))

    @EVERY
    @pytest.mark.parametrize("name", ["other.csr", "weak.csr", "serial.csr", "ca.pem", "own.key"])
    def test_what_is_not_its_own_or_not_sound_is_refused(self, version: str, folder: Path, name: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, YES) as peer:
                await peer.provisioned()
                csr = (folder / name).read_text()
                assert (await peer.say("SignCertificate", {"csr": csr}))[2]["status"] == "Rejected"
                await peer.say("Heartbeat", {})
                assert peer.calls("CertificateSigned") == []

        in_world(test, station(evse(AC, 1)), options(folder))

    def test_a_request_by_the_serial_number_that_it_booted_with_is_its_own(self, folder: Path) -> None:
        boot = {"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": "SN-7"}

        async def test(world: World) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.say("BootNotification", boot)
                csr = (folder / "serial.csr").read_text()
                assert (await peer.say("SignCertificate", {"csr": csr}))[2]["status"] == "Accepted"
                subject, _ = chain_of(folder, (await peer.asked_for("CertificateSigned"))["certificateChain"])
                assert STATION in subject

        in_world(test, station(evse(AC, 1)), options(folder))

    @EVERY
    def test_without_an_authority_nothing_is_signed(self, version: str, folder: Path) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, YES) as peer:
                csr = (folder / "own.csr").read_text()
                assert (await peer.say("SignCertificate", {"csr": csr}))[2]["status"] == "Rejected"

        in_world(test)

    @pytest.mark.parametrize("version", [V201, V21])
    def test_certificates_for_plug_and_charge_are_not_the_site_s(self, version: str, folder: Path) -> None:
        request = {"csr": (folder / "own.csr").read_text(), "certificateType": "V2GCertificate"}

        async def test(world: World) -> None:
            async with world.peer(version, YES) as peer:
                assert (await peer.say("SignCertificate", request))[2]["status"] == "Rejected"

        in_world(test, None, options(folder))


class TestTheAuthority:
    def test_files_that_cannot_be_used_are_named(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.pem"):
            Signer(folder / "none.pem", folder / "ca.key", 30)
        with pytest.raises(ConfigError, match=r"own\.key is not the key of"):
            Signer(folder / "ca.pem", folder / "own.key", 30)

    def test_a_request_that_was_tampered_with_is_refused(self, folder: Path) -> None:
        signer = Signer(folder / "ca.pem", folder / "ca.key", 30)
        lines = (folder / "own.csr").read_text().splitlines()
        other = (folder / "other.csr").read_text().splitlines()
        with pytest.raises(Refused):
            signer.sign("\n".join([*lines[:-2], other[-2], lines[-1]]), STATION, frozenset({STATION}), EPOCH_S)
