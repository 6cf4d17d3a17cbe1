"""The audit: does the small model do what the large one did."""
