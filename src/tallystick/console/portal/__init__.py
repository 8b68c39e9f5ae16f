"""The customer's portal: pages that one account sees of itself."""
