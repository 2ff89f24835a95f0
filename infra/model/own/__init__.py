"""Read models the library itself relies on, of every mesh: receipts, and the whole history."""
