"""Metering: observe, price, post, publish. Pure: no cluster, no clock, no I/O; time is an argument.

observe   an object of the API server -> a Holding (what is held, since when, until when)
prices    a PriceBook -> which rate holds for an item and a profile over an interval
page      the ledger page as values
ledger    post, settle, advance, roll: how a page grows
account   one pass over a model's pages: what to write, what may be released
cost      unit-seconds x unit price -> exact amounts
publish   a page and what is held now -> the resource's status
"""
