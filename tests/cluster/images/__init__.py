"""Container images, built from the repository without Docker and without a registry.

Layers are kept in the cache by the content they are made of; an image is streamed into containerd as a docker-archive,
once: what containerd makes of it is kept, too, and linked into each node.
The machine's network is used only while a layer is made: Debian's packages, and what the Dockerfile's steps fetch.
"""
