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
COMMENT ON COLUMN analytics.notifications.notification_id IS 'The order and the occasion it is about.';
COMMENT ON COLUMN analytics.notifications.order_id IS 'The order it is about.';
COMMENT ON COLUMN analytics.notifications.customer_id IS 'Who is told.';
COMMENT ON COLUMN analytics.notifications.channel IS 'email, sms or push; empty if it was skipped.';
COMMENT ON COLUMN analytics.notifications.reason IS 'Why it failed or was skipped; empty otherwise.';
COMMENT ON COLUMN analytics.notifications.subject IS 'Its subject line.';
COMMENT ON COLUMN analytics.notifications.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN analytics.notifications.closed_at IS 'When it was sent, failed or was skipped; NULL until then.';
COMMENT ON COLUMN analytics.notifications.occasion IS 'confirmed, cancelled, shipped, delivered or refunded';
COMMENT ON COLUMN analytics.notifications.status IS 'requested, sent, failed, or skipped (the customer wants or can have no message)';
COMMENT ON COLUMN analytics.notifications.message_id IS 'The Message-ID it was sent with; a message sent twice has the same one.';
