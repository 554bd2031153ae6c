module modelmeter.dev/harness/pause

go 1.26.0
