"""What the papers published, run again: protocols, and our figures beside theirs."""
