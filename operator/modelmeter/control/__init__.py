"""The two flows joined: fetch (cluster), decide (provision, meter), apply (cluster).

accounts      what is known of each model: its spec, its open page, its status
view          what exists in the cluster, indexed by model
provisioning  spec -> children, by server-side apply
metering      pods, claims and time -> ledger pages; letting_go, of what is settled
publishing    pages and facts -> status, at a bounded rate
operator      starts and stops it all
"""
