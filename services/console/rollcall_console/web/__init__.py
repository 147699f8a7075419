"""What every page goes through: headers, origin, language, templates, forms, static files."""
