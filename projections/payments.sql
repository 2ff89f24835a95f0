CREATE TABLE payments (
    order_id       text PRIMARY KEY,
    customer_id    text NOT NULL,
    status         text NOT NULL CHECK (status IN ('requested', 'authorised', 'declined', 'capturing', 'captured', 'not captured', 'voiding', 'voided', 'refunding', 'partly refunded', 'refunded')),
    reason         text NOT NULL,
    currency       text NOT NULL,
    amount_minor   bigint NOT NULL,
    captured_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    authorisation_id text NOT NULL,
    requested_at   timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL
);

CREATE OR REPLACE VIEW analytics.payments AS
SELECT order_id, customer_id, status, reason, currency, amount_minor, captured_minor, refunded_minor, authorisation_id, requested_at, changed_at FROM payments;
COMMENT ON VIEW analytics.payments IS 'One row a payment, as of its latest event; it has the id of its order.';
COMMENT ON COLUMN analytics.payments.order_id IS 'The order it pays.';
COMMENT ON COLUMN analytics.payments.customer_id IS 'Who pays.';
COMMENT ON COLUMN analytics.payments.reason IS 'Why it was declined or not captured; empty otherwise.';
COMMENT ON COLUMN analytics.payments.currency IS 'Of its amounts.';
COMMENT ON COLUMN analytics.payments.amount_minor IS 'What was to be held, in minor units.';
COMMENT ON COLUMN analytics.payments.requested_at IS 'When the gateway was first to be asked.';
COMMENT ON COLUMN analytics.payments.changed_at IS 'When its status last changed.';
COMMENT ON COLUMN analytics.payments.status IS 'requested, authorised, declined, capturing, captured, not captured, voiding, voided, refunding, partly refunded or refunded';
COMMENT ON COLUMN analytics.payments.captured_minor IS 'What was taken from the card, in minor units; 0 until captured.';
COMMENT ON COLUMN analytics.payments.refunded_minor IS 'What was given back of it, in minor units; never more than was taken.';
COMMENT ON COLUMN analytics.payments.authorisation_id IS 'The id the payment gateway knows it by.';
