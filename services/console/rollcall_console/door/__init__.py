"""Who gets in: passwords, second factors, links, sessions, and the pages for them."""
