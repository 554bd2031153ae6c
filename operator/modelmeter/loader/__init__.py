"""Turn a BERT checkpoint into a model repository that Triton serves.

Runs as the init container of the model's pods (`modelmeter load`), so it knows nothing of Kubernetes: it
reads a source, writes a folder and leaves its result in the termination log.

    fetch       source -> folder with config.json, tokenizer.json and model.safetensors or model.onnx
    website, hub, bucket, registry    one kind of source each: which files there are, and how each is opened
    transfer    an opened file -> the volume: attempts, resume, room, checksum
    progress    how far all of it is, and answering says it to whoever asks
    bert        that folder -> a checked description of the encoder, by the table of families
    weights     its tensors -> the layout of our forward pass
    onnx_source     or its ONNX file, checked; onnx_weights takes the large weights out of it
    source_encoder  that file's graph where our forward pass would stand
    onnx_file   both -> the ONNX file that is served, of the operators in graph or the source's own, and of scoring
    repository  all -> tokenizer, bert and the ensemble, as Triton wants them
    publish     the finished folder -> its place, in one step
    backend/    what runs inside Triton: numpy, tokenizers and onnxruntime only, no import of the rest of modelmeter

Nothing is imported here: the operator imports `loader.cli` for its arguments and must not pay for numpy.
"""
