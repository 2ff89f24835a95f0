CREATE TABLE notifications (
    notification_id text PRIMARY KEY,
    order_id        text NOT NULL,
    customer_id     text NOT NULL,
    occasion        text NOT NULL,
    channel         text NOT NULL,
    status          text NOT NULL CHECK (status IN ('requested', 'sent', 'failed', 'skipped')),
    reason          text NOT NULL,
    subject         text NOT NULL,
    message_id      text NOT NULL,
    requested_at    timestamptz NOT NULL,
    closed_at       timestamptz
);
CREATE INDEX ON notifications (order_id);

CREATE OR REPLACE VIEW analytics.notifications AS
SELECT notification_id, order_id, customer_id, occasion, channel, status, reason, subject, message_id, requested_at, closed_at FROM notifications;
COMMENT ON VIEW analytics.notifications IS 'One row a message to a customer, as of its latest event.';
COMMENT ON COLUMN analytics.notifications.occasion IS 'confirmed, cancelled, shipped, delivered or refunded';
COMMENT ON COLUMN analytics.notifications.status IS 'requested, sent, failed, or skipped (the customer wants or can have no message)';
COMMENT ON COLUMN analytics.notifications.message_id IS 'The Message-ID it was sent with; a message sent twice has the same one.';
