"""Quick judges for one policy: heads fitted on labelled cases, and lists of words, patterns and hashes."""
