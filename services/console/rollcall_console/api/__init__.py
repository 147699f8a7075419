"""The admin API: what the console does, as JSON for products, scripts and Terraform."""
