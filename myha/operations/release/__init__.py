"""From a supervised pair back to two servers that replicate from each other: `myha release`."""
