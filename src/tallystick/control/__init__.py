"""The desk: what people change off the flow, one noun a file."""
