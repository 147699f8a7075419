"""Sign-in of admins by OpenID Connect: any issuer, code flow with PKCE, roles from a claim."""
