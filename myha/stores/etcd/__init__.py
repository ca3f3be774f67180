"""The store on an etcd cluster: one record for several supervisors, and a lease for one of them."""
