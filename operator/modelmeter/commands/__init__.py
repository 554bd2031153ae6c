"""The subcommands of `modelmeter`: each adds its parser, and its `run` takes the parsed arguments."""
