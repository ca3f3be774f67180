"""`myha setup`: from two servers with an administrator's account to a running pair.

`facts` is what was read of a server, `checks` says what forbids a set-up and `actions` what is
missing: both are pure. `gather` reads, `apply` changes, `proof` shows that the pair works, and
`run` puts them in order. Running again reads again, so what is already so is not done twice.
"""
