"""Comparing the rows of the two nodes while both are in use, and making differing rows equal."""

from myha.operations.verify.pace import Throttle
from myha.operations.verify.report import RowDifference, TableReport, VerifyReport
from myha.operations.verify.run import verify

__all__ = ["RowDifference", "TableReport", "Throttle", "VerifyReport", "verify"]
