"""For every test: what is started here gets the default signals, whatever pytest was started by.

A job in the background of a script, cron, or a CI may have SIGINT ignored, and what is ignored is
inherited by every process that is started: Ctrl-C could not be tested there.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
