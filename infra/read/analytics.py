"""What analysts see: the schema `analytics`, of views of every projection, and a login that reads them and nothing else.

Views are replaced in place, so that privileges and other views that depend on them stay. Where Postgres cannot do that (a
column went away), they are dropped and made anew, and with them the ones that span projections (projections/analytics.sql).
"""

import asyncpg
import structlog

from infra.errors import Unusable
from infra.mesh import Mesh
from infra.model.projection import ANALYTICS, MADE
from infra.read import analysts, tables
from infra.read.postgres import ANALYST, IRREPLACEABLE, connection, misread, role

_log = structlog.get_logger()

EVENTS_OF = """
CREATE OR REPLACE VIEW analytics.{context}_events AS
SELECT event_id, type, subject, at, command_id, command_type, correlation_id, content, event_partition, event_offset FROM analytics.events WHERE context = '{context}';
COMMENT ON VIEW analytics.{context}_events IS 'Everything that ever happened in {context}, one row an event.';
COMMENT ON COLUMN analytics.{context}_events.event_id IS 'topic/partition/offset; to order by: at, event_offset.';
COMMENT ON COLUMN analytics.{context}_events.type IS 'What happened.';
COMMENT ON COLUMN analytics.{context}_events.subject IS 'The aggregate it happened to.';
COMMENT ON COLUMN analytics.{context}_events.at IS 'When it was recorded; never before what caused it.';
COMMENT ON COLUMN analytics.{context}_events.command_id IS 'The command it answers.';
COMMENT ON COLUMN analytics.{context}_events.command_type IS 'What was asked.';
COMMENT ON COLUMN analytics.{context}_events.correlation_id IS 'What everything has in common that one command set off.';
COMMENT ON COLUMN analytics.{context}_events.content IS 'Its fields; what names a person is empty, and cards are left out.';
COMMENT ON COLUMN analytics.{context}_events.event_partition IS 'The partition it was written to.';
COMMENT ON COLUMN analytics.{context}_events.event_offset IS 'Its offset there: events of one aggregate are in the order of at, event_offset.';
"""

FRESHNESS = """
CREATE OR REPLACE VIEW analytics.freshness AS
SELECT *, log_end - position AS lag_events,
       CASE WHEN position < log_end THEN round(extract(epoch FROM now() - coalesce(recorded_at, checked_at)), 3) ELSE 0 END AS lag_s,
       round(extract(epoch FROM now() - checked_at), 3) AS checked_s
FROM ({each}) AS cursors;
COMMENT ON VIEW analytics.freshness IS 'How far each projection has read each partition. Its projector looks every 5 seconds at the latest: a larger checked_s says that none is at work.';
COMMENT ON COLUMN analytics.freshness.projection IS 'The read model.';
COMMENT ON COLUMN analytics.freshness.topic IS 'An events topic it reads.';
COMMENT ON COLUMN analytics.freshness.partition IS 'A partition of it.';
COMMENT ON COLUMN analytics.freshness.position IS 'The offset of the next record to be read; everything before it is in the rows.';
COMMENT ON COLUMN analytics.freshness.log_end IS 'The end of the partition when the projector last read from it.';
COMMENT ON COLUMN analytics.freshness.recorded_at IS 'When the last event was recorded that is in the rows.';
COMMENT ON COLUMN analytics.freshness.checked_at IS 'When the projector last wrote, or looked and found nothing.';
COMMENT ON COLUMN analytics.freshness.lag_events IS 'Records that were there when the projector last read from it, and not read yet; `weft status` asks the log itself.';
COMMENT ON COLUMN analytics.freshness.lag_s IS 'At most so many seconds the rows are behind: since the last event that is in them was recorded; 0 when all was read that was there.';
COMMENT ON COLUMN analytics.freshness.checked_s IS 'Seconds since checked_at.';

CREATE OR REPLACE FUNCTION analytics.unread_by(token text) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT projection FROM (VALUES {reads}) AS reads (projection, topic)
    FULL JOIN (SELECT * FROM analytics.freshness f WHERE f.partition = split_part(token, '/', 2)::int) AS done USING (projection, topic)
    WHERE topic = split_part(token, '/', 1) AND coalesce(position, 0) <= split_part(token, '/', 3)::bigint
$$;
COMMENT ON FUNCTION analytics.unread_by IS 'The projections that read the topic of a version token, and have not read its event yet.';

CREATE OR REPLACE FUNCTION analytics.wait_for(token text, of text DEFAULT NULL, patience interval DEFAULT '10 seconds') RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    until timestamptz := clock_timestamp() + patience;
BEGIN
    IF token !~ '^[^/]+/[0-9]+/[0-9]+$' THEN
        RAISE EXCEPTION 'a token is topic/partition/offset, as receipts have it in last_event_id, not %', token;
    END IF;
    LOOP
        IF NOT EXISTS (SELECT 1 FROM analytics.unread_by(token) AS name WHERE of IS NULL OR name = of) THEN
            RETURN true;
        END IF;
        IF clock_timestamp() > until THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
COMMENT ON FUNCTION analytics.wait_for IS 'Waits until the projection `of` (every one, by default) has read the event of a version token, which is last_event_id of a receipt; false if it took longer. Read your own writes with: select analytics.wait_for(''<last_event_id>''); then the query.';
"""


async def prepare(url: str, mesh: Mesh) -> list[str]:
    """Create what is missing, as the owner: tables, logins, views.

    Returns the projections whose tables other code made: they stay as they are, with their views, until they are rebuilt.
    """
    async with connection(url) as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('weft setup'))")  # two set-ups at once take turns
        await db.execute(f"CREATE SCHEMA IF NOT EXISTS {ANALYTICS}")
        await role(db, url, ANALYST)
        await db.execute(f"ALTER ROLE {ANALYST} SET search_path = {ANALYTICS}")
        await db.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await analysts.confine(db)
        changed = []
        for projection in mesh.projections.values():
            await role(db, url, projection.role)
            await db.execute(f"GRANT USAGE ON SCHEMA {ANALYTICS} TO {projection.role}")
            await db.execute(f"GRANT EXECUTE ON FUNCTION {ANALYTICS}.end_overdue TO {projection.role}")
            for schema in (projection.schema, f"{projection.name}_next", f"{projection.name}_old"):
                await tables.renew(db, schema)
            definition = await tables.definition(db, projection.schema)
            if definition is None:
                await tables.create(db, projection, projection.schema)
            if definition in (None, projection.definition):
                await replace(db, mesh, projection.views, projection.schema)
            else:
                changed.append(projection.name)
        await complete(db, mesh)
    return changed


async def tell_topics(url: str, mesh: Mesh) -> None:
    """Let version tokens be asked about in the topics as they were grown."""
    async with connection(url) as db, db.transaction():
        await complete(db, mesh)


async def complete(db: asyncpg.Connection, mesh: Mesh) -> None:
    """The views that span projections, and everybody's privileges."""
    try:
        async with db.transaction():
            await db.execute(spanning(mesh))
    except asyncpg.PostgresSyntaxError as error:
        raise misread(error, spanning(mesh), "analytics.sql") from error
    except asyncpg.PostgresError as error:  # columns that come with a rebuild
        _log.warning("views that span projections stay as they are", error=str(error))
    each = " UNION ALL ".join(
        f"SELECT '{p.name}' AS projection, topic, partition, next_offset AS position, log_end, recorded_at, checked_at "
        f"FROM {p.schema}.cursor, {p.schema}.head"
        for p in mesh.projections.values()
    )
    reads = ", ".join(f"('{p.name}', '{topic}')" for p in mesh.projections.values() for topic in mesh.topics_of(p))
    await db.execute(FRESHNESS.format(each=each, reads=reads))
    await grant(db, ANALYTICS)


async def grant(db: asyncpg.Connection, schema: str) -> None:
    """Analysts read the views of a schema."""
    await db.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ANALYST}")
    await db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {ANALYST}")


def spanning(mesh: Mesh) -> str:
    """Views over views: the application's own (analytics.sql beside its projections), and the events of each context."""
    return "\n".join([mesh.spanning, *(EVENTS_OF.format(context=name) for name in mesh.contexts)])


async def replace(db: asyncpg.Connection, mesh: Mesh, views: str, source: str) -> None:
    """Let the views of a projection show the tables of the schema `source`. Inside a transaction, before `complete`."""
    await db.execute(f"SET LOCAL search_path = {source}")
    try:
        async with db.transaction():
            await db.execute(views)
    except IRREPLACEABLE:
        await _drop(db, spanning(mesh))
        await _drop(db, views)
        await db.execute(views)
    await db.execute("SET LOCAL search_path = DEFAULT")


async def _drop(db: asyncpg.Connection, views: str) -> None:
    for kind, name in reversed(MADE.findall(views)):
        try:
            await db.execute(f"DROP {kind} IF EXISTS {name}")
        except asyncpg.DependentObjectsStillExistError as error:
            raise Unusable(
                f"{name} cannot be replaced, since something that is not ours depends on it: {error.detail or error}. Drop that first"
            ) from error
