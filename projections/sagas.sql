CREATE TABLE sagas (
    order_id                  text PRIMARY KEY,
    reason                    text,
    total_minor               bigint,
    currency                  text,
    placed_at                 timestamptz,
    payment_requested_at      timestamptz,
    authorised_at             timestamptz,
    declined_at               timestamptz,
    confirmed_at              timestamptz,
    cancelled_at              timestamptz,
    captured_at               timestamptz,
    void_requested_at         timestamptz,
    voided_at                 timestamptz,
    notification_requested_at timestamptz,
    notified_at               timestamptz,
    notification_failed_at    timestamptz
);
CREATE INDEX ON sagas (placed_at);

CREATE VIEW analytics.sagas AS
SELECT order_id,
       CASE WHEN confirmed_at IS NOT NULL THEN 'confirmed' WHEN cancelled_at IS NOT NULL THEN 'cancelled' ELSE 'open' END AS outcome,
       reason,
       CASE
           WHEN confirmed_at IS NULL AND cancelled_at IS NULL THEN 'waiting for payment'
           WHEN confirmed_at IS NOT NULL AND captured_at IS NULL THEN 'waiting for capture'
           WHEN cancelled_at IS NOT NULL AND payment_requested_at IS NOT NULL AND declined_at IS NULL AND voided_at IS NULL THEN 'waiting for the payment to be let go'
           WHEN notified_at IS NULL AND notification_failed_at IS NULL THEN 'waiting for the customer to be told'
           ELSE 'done'
       END AS step,
       total_minor, currency, placed_at,
       round(extract(epoch FROM coalesce(authorised_at, declined_at) - placed_at) * 1000) AS payment_ms,
       round(extract(epoch FROM coalesce(confirmed_at, cancelled_at) - coalesce(authorised_at, declined_at, placed_at)) * 1000) AS decision_ms,
       round(extract(epoch FROM coalesce(captured_at, voided_at) - coalesce(confirmed_at, cancelled_at)) * 1000) AS settlement_ms,
       round(extract(epoch FROM notified_at - coalesce(confirmed_at, cancelled_at)) * 1000) AS notification_ms,
       round(extract(epoch FROM greatest(confirmed_at, cancelled_at, captured_at, voided_at, notified_at, notification_failed_at) - placed_at) * 1000) AS total_ms,
       confirmed_at, cancelled_at, authorised_at, declined_at, captured_at, voided_at, notified_at
FROM sagas;
COMMENT ON VIEW analytics.sagas IS 'Where each order stands on its way through all contexts, and how long each step took.';
COMMENT ON COLUMN analytics.sagas.step IS 'What the order waits for now; done when nothing is left to do.';
COMMENT ON COLUMN analytics.sagas.payment_ms IS 'Milliseconds from the order to the answer of the payment.';
COMMENT ON COLUMN analytics.sagas.decision_ms IS 'Milliseconds from that answer to the order''s outcome.';
COMMENT ON COLUMN analytics.sagas.settlement_ms IS 'Milliseconds from the outcome until the money was captured or let go.';
COMMENT ON COLUMN analytics.sagas.notification_ms IS 'Milliseconds from the outcome until the customer was told.';
