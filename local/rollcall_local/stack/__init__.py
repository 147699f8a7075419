"""A whole stack on one machine: brokers, database, mailbox, services and who watches them."""
