CREATE TABLE events (
    event_id       text PRIMARY KEY,
    context        text NOT NULL,
    type           text NOT NULL,
    subject        text NOT NULL,
    at             timestamptz NOT NULL,
    command_id     text NOT NULL,
    command_type   text NOT NULL,
    correlation_id text NOT NULL,
    content        text NOT NULL
);
CREATE INDEX ON events (context, at);
CREATE INDEX ON events (subject, at);

CREATE OR REPLACE VIEW analytics.events AS
SELECT event_id, context, type, subject, at, command_id, command_type, correlation_id, content::jsonb AS content,
       split_part(event_id, '/', 2)::bigint AS event_partition, split_part(event_id, '/', 3)::bigint AS event_offset
FROM events;
COMMENT ON VIEW analytics.events IS 'Everything that ever happened, one row an event; each context has a view of its own, such as orders_events.';
COMMENT ON COLUMN analytics.events.event_id IS 'topic/partition/offset; to order by: at, event_offset.';
COMMENT ON COLUMN analytics.events.context IS 'Who said it.';
COMMENT ON COLUMN analytics.events.type IS 'What happened, such as orders.OrderPlaced; weft.Refused and others are answers any context may give.';
COMMENT ON COLUMN analytics.events.subject IS 'The aggregate it happened to.';
COMMENT ON COLUMN analytics.events.at IS 'When it was recorded; never before what caused it.';
COMMENT ON COLUMN analytics.events.command_id IS 'The command it answers.';
COMMENT ON COLUMN analytics.events.command_type IS 'What was asked.';
COMMENT ON COLUMN analytics.events.correlation_id IS 'What everything has in common that one command set off.';
COMMENT ON COLUMN analytics.events.content IS 'Its fields; what names a person is empty, and cards are left out.';
COMMENT ON COLUMN analytics.events.event_partition IS 'The partition it was written to.';
COMMENT ON COLUMN analytics.events.event_offset IS 'Its offset there: events of one aggregate are in the order of at, event_offset.';
