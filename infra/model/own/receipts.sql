CREATE TABLE receipts (
    receipt_id        text PRIMARY KEY,
    command_id        text NOT NULL,
    command_type      text NOT NULL,
    context           text NOT NULL,
    subject           text NOT NULL,
    status            text NOT NULL CHECK (status IN ('accepted', 'refused', 'rejected', 'parked', 'discarded')),
    code              text NOT NULL,
    reason            text NOT NULL,
    events            text NOT NULL,
    last_event_id     text NOT NULL,
    way               text NOT NULL,
    command_digest    text NOT NULL,
    command_partition bigint NOT NULL,
    command_offset    bigint NOT NULL,
    correlation_id    text NOT NULL,
    decided_at        timestamptz NOT NULL
);
CREATE INDEX ON receipts (command_id);

CREATE OR REPLACE VIEW analytics.receipts AS
SELECT command_id, command_type, context, subject, status, code, reason, events, last_event_id,
       command_partition, command_offset, correlation_id, decided_at, way, command_digest
FROM receipts;
COMMENT ON VIEW analytics.receipts IS 'What became of every command, one row each.';
COMMENT ON COLUMN analytics.receipts.command_id IS 'The command, as its producer named it.';
COMMENT ON COLUMN analytics.receipts.command_type IS 'What was asked, such as orders.PlaceOrder.';
COMMENT ON COLUMN analytics.receipts.context IS 'Who was asked.';
COMMENT ON COLUMN analytics.receipts.subject IS 'The aggregate that was asked.';
COMMENT ON COLUMN analytics.receipts.code IS 'Why not, in a word; empty if it was accepted.';
COMMENT ON COLUMN analytics.receipts.reason IS 'Why not, in a sentence; empty if it was accepted.';
COMMENT ON COLUMN analytics.receipts.way IS 'How it came in: commands, where anybody asks, or own, where its context asks itself.';
COMMENT ON COLUMN analytics.receipts.command_digest IS 'Of what was asked by anybody, in hex: the same id with another one is refused.';
COMMENT ON COLUMN analytics.receipts.command_partition IS 'The partition of the topic it came from.';
COMMENT ON COLUMN analytics.receipts.command_offset IS 'Its offset there.';
COMMENT ON COLUMN analytics.receipts.correlation_id IS 'What everything has in common that one command set off.';
COMMENT ON COLUMN analytics.receipts.decided_at IS 'When the answer was recorded.';
COMMENT ON COLUMN analytics.receipts.status IS 'accepted; refused (understood, and answered no); rejected (could not be processed, and kept in <context>.dead); parked (waits there behind a rejected one of its key); discarded';
COMMENT ON COLUMN analytics.receipts.events IS 'The types of the events it led to.';
COMMENT ON COLUMN analytics.receipts.last_event_id IS 'topic/partition/offset of the last of them.';
