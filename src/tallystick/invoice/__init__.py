"""The invoice: from a bill to a frozen view with every text formatted, and from there to HTML, PDF and CSV."""
