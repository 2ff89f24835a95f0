CREATE TABLE order_history (
    event_id   text PRIMARY KEY,
    order_id   text NOT NULL,
    event      text NOT NULL,
    detail     text NOT NULL,
    command_id text NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX ON order_history (order_id, at);

CREATE OR REPLACE VIEW analytics.order_history AS
SELECT order_id, at, event, detail, event_id, command_id,
       split_part(event_id, '/', 2)::bigint AS event_partition, split_part(event_id, '/', 3)::bigint AS event_offset
FROM order_history;
COMMENT ON VIEW analytics.order_history IS 'One row an event of an order: what happened to it, when, and because of which command.';
COMMENT ON COLUMN analytics.order_history.order_id IS 'The order.';
COMMENT ON COLUMN analytics.order_history.at IS 'When it happened.';
COMMENT ON COLUMN analytics.order_history.event IS 'What happened, such as OrderPlaced.';
COMMENT ON COLUMN analytics.order_history.detail IS 'What it was about: the lines, a SKU, a reason, a tracking number.';
COMMENT ON COLUMN analytics.order_history.command_id IS 'The command that led to it.';
COMMENT ON COLUMN analytics.order_history.event_id IS 'topic/partition/offset of the event.';
COMMENT ON COLUMN analytics.order_history.event_partition IS 'The partition it was written to.';
COMMENT ON COLUMN analytics.order_history.event_offset IS 'Its offset there: what happened to an order is in the order of at, event_offset.';
