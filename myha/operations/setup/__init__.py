"""`myha setup`: from two servers with an administrator's account to a running pair.

`facts` is what was read of a server, `checks` says what forbids a set-up, `actions` what is missing:
both are pure. `gather` reads, `apply` changes, `proof` shows that the pair works, `run` puts them in
order. Running again gathers again, so whatever is already so is not done twice.
"""
