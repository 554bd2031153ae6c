"""The operator against the real API server, with a proxy between the two that lets everything go wrong that can.

One control plane serves many runs at once: each has a namespace, a PriceBook, a proxy and operator processes of its
own, and its proxy shows the operators nothing of the others (see scope). After each run a checker holds what the ledger
says against an oracle that knows the objects' own timestamps only.

    make faults                                   the whole matrix, and a table
    python -m tests.faults --only kill-after --point 17
    python -m tests.faults --mutation release-before-persist
"""
