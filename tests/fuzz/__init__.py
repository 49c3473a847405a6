"""Everything that parses what a stranger sends, fed with what no client would send."""
