"""Metering: observe, price, post, publish. Pure: no cluster, no clock, no I/O; time is an argument.

lifetime  when pods and claims begin and end to hold: ladders of sources
requests  what they ask for, in whole units
shares    which part of a whole GPU a resource is; devices, of a ResourceClaim; uses, who shares one
profiles  what decides a price, captured on the pod
observe   an object of the API server -> a Holding (what is held, since when, until when)
prices    a PriceBook -> which rate holds for an item and a profile over an interval
page      the ledger page as values; stored, as a CostStatement keeps it
spans     unpriced usage in few spans
posting   what holdings, labour and operations become on a page: lines and unpriced spans
ledger    settle, advance, roll: how a page grows
account   one pass over a model's pages: what to write, what may be released
cost      unit-seconds x unit price -> exact amounts; sums, of lines and spans
publish   a page and what is held now -> the resource's status
verify    proves that statements, objects and status agree, or says where not
"""
