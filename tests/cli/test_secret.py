"""``smartcharge secret``: the hash goes to stdout and nothing else does."""

from __future__ import annotations

import io
import sys

import pytest

from smartcharge.csms.secrets import matches
from tests.cli.command_line import Typed


class TestSecret:
    def test_of_a_password_from_stdin(self, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("open sesame, please\n"))
        said = typed("secret")
        assert said.code == 0, said.err
        assert "sesame" not in said.out + said.err
        assert matches(said.out.strip(), b"open sesame, please")

    def test_of_one_that_is_made_up(self, typed: Typed) -> None:
        said = typed("secret", "--generate")
        password = said.err.strip().removeprefix("password: ")
        assert 16 <= len(password) <= 40
        assert matches(said.out.strip(), password.encode())

    @pytest.mark.parametrize("password", ["short", "x" * 41, ""])
    def test_a_length_that_ocpp_does_not_have_is_refused(
        self, typed: Typed, monkeypatch: pytest.MonkeyPatch, password: str
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
        said = typed("secret")
        assert said.code == 2
        assert "16 to 40 characters" in said.err
        assert said.out == ""
