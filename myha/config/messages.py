"""[notify.NAME] and [hooks.NAME]: who is told of events, and what is run at them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from myha.config.accounts import PasswordError, read_password
from myha.config.values import FilePath, Table, Words
from myha.core.events import OF_HOOKS, Selector
from myha.core.severity import Severity
from myha.errors import ConfigError


def selectors_of(words: tuple[str, ...]) -> tuple[Selector, ...]:
    """Raises ValueError with what is wrong with one of them."""
    return tuple(Selector.of(one) for one in words)


class NotifyConfig(Table):
    """A channel that messages are sent through: mail, a chat, a pager."""

    url_file: FilePath = Field(
        description="File with the channel's URL as Apprise writes it, like "
        '"mailtos://user:password@example.com?to=dba@example.com"; only its owner may read it.',
    )
    severity: Severity = Field(
        Severity.WARNING,
        strict=False,
        description='Only events that are at least so severe: "info", "notice", "warning", '
        '"critical". The end of a trouble that was told of is told too.',
    )
    on: Words = Field(
        (),
        description='Only these events, by kind or as "KIND:SUBJECT", like "verdict" or '
        '"plan-done:failover"; docs/events.md has them all. Empty: all kinds.',
    )
    not_on: Words = Field((), description="Not these events, written in the same way.")
    per_minute: int = Field(
        6,
        ge=1,
        le=60,
        description="At most so many messages a minute of one pair; what happens beyond goes into "
        "the next one.",
    )

    _selectors: tuple[tuple[Selector, ...], ...] = PrivateAttr(default=((), ()))

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002  # pydantic's
        self._selectors = (selectors_of(self.on), selectors_of(self.not_on))

    @field_validator("on", "not_on")
    @classmethod
    def _are_events(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        selectors_of(words)
        return words

    @property
    def selectors(self) -> tuple[tuple[Selector, ...], ...]:
        """Those of `on`, and those of `not_on`."""
        return self._selectors

    def url(self) -> SecretStr:
        """ConfigError when it cannot be read."""
        try:
            return SecretStr(read_password(self.url_file))
        except PasswordError as error:
            text = str(error).replace("the password", "the URL")
            raise ConfigError(f"url_file: {text}") from None


class HookConfig(Table):
    """A command that is run at events."""

    on: Words = Field(
        min_length=1,
        description='The events, by kind or as "KIND:SUBJECT", like "plan-done:failover"; '
        "docs/events.md has them all.",
    )
    command: Words = Field(
        min_length=1,
        description="The command and its arguments; no shell is put between.",
    )
    timeout_seconds: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="How long it may take; then it is killed with all that it has started.",
    )

    _selectors: tuple[Selector, ...] = PrivateAttr(default=())

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002  # pydantic's
        self._selectors = selectors_of(self.on)

    @field_validator("on")
    @classmethod
    def _are_events(cls, on: tuple[str, ...]) -> tuple[str, ...]:
        for one in on:
            if Selector.of(one).kind in OF_HOOKS:
                raise ValueError(
                    f"{one!r} is what hooks themselves cause; a hook cannot wait for it"
                )
        return on

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return self._selectors
