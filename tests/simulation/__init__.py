"""The operator's real metering, driven against a model API server that fails, under virtual time.

loop       an event loop whose time jumps to the next timer
server     the model API server: versions, finalizers, deletion, watch events that may come late
client     the product's Client over it: refuses, loses answers, crashes the operator
histories  what may happen, as Hypothesis strategies
world      scheduler, kubelets, controllers and users: they act a history out, and note what is true
tritons    what the pods' servers count, and what they told to whom
oracle     usage and cost from what is true; imports nothing of the product
monitor    what must hold at every write of a statement
run        one history from its beginning to its end
mutations  the product, broken on purpose
"""
