"""How much one Triton server does while it keeps a latency: `modelmeter benchmark`, by hand or as a model's Job.

    texts     what is asked, the same for every run
    search    which rate to try next: a pure function of the points measured so far
    load      one point: requests that begin at their planned times, whatever the answers do
    server    one gRPC connection to a Triton, hence one replica behind a Service
    measure   warm-up, points one after another, and what came of it

It knows nothing of Kubernetes. Nothing is imported here: the operator must not pay for grpc and numpy.
"""
