"""Transfer money between two accounts: what is taken is given, or given back."""
