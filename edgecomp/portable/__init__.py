"""What is copied to other machines and runs there: only the standard library, numpy and one runtime, Python 3.9 or newer."""
