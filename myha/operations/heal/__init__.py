"""Heal: bring a diverged node back by the cheapest exact means, and destroy nothing."""
