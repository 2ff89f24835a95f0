#!/bin/sh
# Run by the image of Postgres as its superuser, once, on an empty volume: a database of the mesh's own, and an owner who is no
# superuser. Nothing of the mesh logs in as the superuser.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set password `cat /run/secrets/owner_password`
CREATE ROLE weft_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE weft OWNER weft_owner;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
\connect weft
DO $$
DECLARE f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
             AND (proname ~ '^pg_(try_)?advisory_(xact_)?lock' OR proname ~ '^(lo_|loread$|lowrite$)') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO weft_owner', f);
    END LOOP;
END $$;
SQL
