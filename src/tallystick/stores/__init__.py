"""The stores: each module speaks one brand of storage behind a port."""
