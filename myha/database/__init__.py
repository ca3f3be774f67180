"""Connections to database servers, and what differs between their flavours."""
