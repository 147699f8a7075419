-- Ingress notes what it answers with success before it knows whether it is refused.

GRANT USAGE ON SCHEMA audit TO rollcall_ingress;
GRANT INSERT ON audit.unheard TO rollcall_ingress;
