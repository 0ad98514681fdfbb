"""The site as a client (VEN) of an OpenADR 2.0b server, through openleadr; an optional extra."""
