"""`[retention]`: how long the journal and the quarantine keep what they have."""

from __future__ import annotations

from pydantic import Field

from myha.config.values import Table


class RetentionConfig(Table):
    """How long the journal and the quarantine keep what they have. Removed by the supervisor."""

    journal_days: float = Field(
        365.0, ge=0, description="Lines of the journal that are older are removed; 0: none is."
    )
    journal_mb: int = Field(
        100,
        ge=1,
        description="When the journal has more than so many MB, its oldest lines are removed.",
    )
    quarantine_days: float = Field(
        0.0,
        ge=0,
        description="Incidents in quarantine that are older are removed, if somebody has looked "
        "at them (`show`, `export` or `replay`); 0: none is.",
    )
    quarantine_mb: int = Field(
        0,
        ge=0,
        description="When the quarantine has more than so many MB, its oldest incidents are "
        "removed, if somebody has looked at them and they are older than a day; 0: none is.",
    )
    quarantine_unseen: bool = Field(
        default=False,
        description="Remove incidents by age and size that nobody has looked at, too: what heals "
        "took out of the live data may then be gone before anybody knows of it.",
    )
