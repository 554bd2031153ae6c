"""From a spec to the children that should exist, and from what exists to the conditions.

Pure: no API server, no clock.

    labels       names, labels and owners that all children share
    claim, device_claim, config_map, workload, service
                 one child each
    track        what a model's own Deployment and a canary's have each for itself
    rollout      which of the two gets how many replicas of which revision
    children     the table of children, in the order in which they are applied
    checks       the chain of checks and its reasons; placement has those of claims, admission and the scheduler,
                 containers those of the kubelet, benchmarked those of a measurement,
                 remedies what to do about a refusal
    readiness    the chain of checks, from the spec up to what an hour costs
"""
