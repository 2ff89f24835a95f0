"""What analysts may not do, whatever they set: write, keep what others wait for, or ask without an end.

`statement_timeout` and the like are anybody's to set (https://www.postgresql.org/docs/current/runtime-config-client.html), so
they are told by a look at what runs, now and then, by whoever keeps a read model up.
"""

import asyncpg

from infra.read.postgres import ANALYST

STATEMENT_S = 30  # how long a statement may take
IDLE_S = 60  # and a transaction in which nothing is asked
GRACE_S = 5  # behind that, until somebody ends it who has another limit

DEFAULTS = f"""
ALTER ROLE {ANALYST} SET default_transaction_read_only = on;
ALTER ROLE {ANALYST} SET statement_timeout = '{STATEMENT_S}s';
ALTER ROLE {ANALYST} SET idle_in_transaction_session_timeout = '{IDLE_S}s';
ALTER ROLE {ANALYST} CONNECTION LIMIT 20;
"""

# Locks that anybody else may wait for, and large objects: functions that are everybody's, until their owner takes them back.
LOCKS_AND_OBJECTS = r"""
DO $$
DECLARE f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
             AND (proname ~ '^pg_(try_)?advisory_(xact_)?lock' OR proname ~ '^(lo_|loread$|lowrite$)') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END $$
"""

END_OVERDUE = f"""
CREATE OR REPLACE FUNCTION analytics.end_overdue() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = '{ANALYST}' AND datname = current_database() AND (
            state = 'active' AND query_start < clock_timestamp() - interval '{STATEMENT_S + GRACE_S} seconds'
            OR state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '{IDLE_S + GRACE_S} seconds')
    ) AS ended
$$;
REVOKE EXECUTE ON FUNCTION analytics.end_overdue FROM PUBLIC;
COMMENT ON FUNCTION analytics.end_overdue IS 'Ends the sessions of analysts that take too long, and says how many.';
"""


async def confine(db: asyncpg.Connection) -> None:
    """Take from analysts what they could do harm with, as the owner of the database; what is its superuser's is his alone to take.

    Of a database of before that has an owner who is none, `infra/compose/owner.sh` says what that is.
    """
    await db.execute(DEFAULTS)
    name = await db.fetchval("SELECT quote_ident(current_database())")
    await db.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    if await db.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        if await db.fetchval(f"SELECT has_function_privilege('{ANALYST}', 'pg_advisory_lock(bigint)', 'EXECUTE')"):
            await db.execute(LOCKS_AND_OBJECTS)
    elif not await db.fetchval(f"SELECT pg_has_role(current_user, '{ANALYST}', 'USAGE')"):
        await db.execute(f"GRANT {ANALYST} TO CURRENT_USER WITH INHERIT TRUE")  # who may end what is theirs
    await db.execute(END_OVERDUE)


async def end_overdue(db: asyncpg.Connection) -> int:
    """End what analysts ask without an end; how many sessions."""
    return int(await db.fetchval("SELECT analytics.end_overdue()"))
