"""The flow, one act a file: ingest, mediate, meter, rate, bill."""
