"""Grid operators that are not on the site's broker: HTTP, OpenADR."""
