"""`make bench-serving`: how fast our Triton repository answers, beside the usual way and the floor.

The same weights, texts and cores for all three:
    ours    Triton's HTTP front end, ensemble, tokenizer and encoder, as the loader wrote them
    usual   one FastAPI process that runs the same ONNX file once for each request
    floor   onnxruntime alone, over tokens made before, sorted by length, in the best batches: no server, no client
"""
