#!/bin/sh
# Run by the image of Postgres as its superuser, once, on an empty volume: a database of the mesh's own, and an owner who is no
# superuser. Nothing of the mesh logs in as the superuser.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set password `cat /run/secrets/owner_password`
CREATE ROLE weft_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE weft OWNER weft_owner;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
SQL
