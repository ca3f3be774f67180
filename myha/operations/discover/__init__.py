"""`myha init --from`: a configuration from what runs. `look` reads, `judge` decides; both change
nothing."""
