"""modelmeter: serves BERT on Triton and knows, to the second, what each model costs."""
