CREATE TABLE sagas (
    order_id             text PRIMARY KEY,
    customer_id          text,
    code                 text,
    reason               text,
    total_minor          bigint,
    currency             text,
    line_count           bigint,
    reserved             bigint NOT NULL,
    refused              bigint NOT NULL,
    released             bigint NOT NULL,
    sent_out             bigint NOT NULL,
    refunds_asked        bigint NOT NULL,
    refunds_done         bigint NOT NULL,
    refunds_failed       bigint NOT NULL,
    captured_minor       bigint NOT NULL,
    refunded_minor       bigint NOT NULL,
    told                 bigint NOT NULL,
    placed_at            timestamptz,
    stock_at             timestamptz,
    payment_requested_at timestamptz,
    authorised_at        timestamptz,
    declined_at          timestamptz,
    confirmed_at         timestamptz,
    cancelled_at         timestamptz,
    captured_at          timestamptz,
    capture_failed_at    timestamptz,
    voided_at            timestamptz,
    refunded_at          timestamptz,
    paid_at              timestamptz,
    shipped_at           timestamptz,
    delivered_at         timestamptz,
    told_at              timestamptz
);
CREATE INDEX ON sagas (placed_at);
CREATE INDEX ON sagas (customer_id, placed_at);

CREATE OR REPLACE VIEW analytics.sagas AS
WITH stepped AS (
    SELECT *,
           CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled' WHEN delivered_at IS NOT NULL THEN 'delivered'
                WHEN shipped_at IS NOT NULL THEN 'shipped' WHEN confirmed_at IS NOT NULL THEN 'confirmed' ELSE 'open' END AS outcome,
           num_nonnulls(confirmed_at, cancelled_at, shipped_at, delivered_at) + refunds_done AS occasions
    FROM sagas
), waiting AS (
    SELECT *,
           CASE
               WHEN placed_at IS NULL THEN 'waiting for the order to be seen'
               WHEN outcome = 'open' AND reserved + refused < line_count THEN 'waiting for stock'
               WHEN outcome = 'open' THEN 'waiting for payment'
               WHEN reserved + refused < line_count THEN 'waiting for stock to answer'
               WHEN outcome = 'cancelled' AND reserved > released THEN 'waiting for stock to be released'
               WHEN outcome = 'cancelled' AND coalesce(declined_at, voided_at, capture_failed_at) IS NULL
                    AND (captured_at IS NULL OR refunded_minor < captured_minor) THEN 'waiting for the money to be given back'
               WHEN outcome IN ('shipped', 'delivered') AND sent_out < line_count THEN 'waiting for stock to leave'
               WHEN outcome = 'confirmed' AND paid_at IS NULL THEN 'waiting for capture'
               WHEN refunds_asked > refunds_done + refunds_failed THEN 'waiting for a refund'
               WHEN told < occasions THEN 'waiting for the customer to be told'
               WHEN outcome = 'confirmed' THEN 'to be shipped'
               WHEN outcome = 'shipped' THEN 'to be delivered'
               ELSE 'done'
           END AS step
    FROM stepped
)
SELECT order_id, customer_id, outcome, step, step IN ('done', 'to be shipped', 'to be delivered') AS at_rest, code, reason,
       total_minor, currency, captured_minor, refunded_minor, placed_at,
       round(extract(epoch FROM stock_at - placed_at) * 1000)::bigint AS stock_ms,
       round(extract(epoch FROM coalesce(authorised_at, declined_at) - placed_at) * 1000)::bigint AS payment_ms,
       round(extract(epoch FROM least(confirmed_at, cancelled_at) - placed_at) * 1000)::bigint AS decision_ms,
       round(extract(epoch FROM CASE WHEN cancelled_at IS NULL THEN captured_at - confirmed_at
                                     WHEN voided_at IS NOT NULL THEN voided_at - cancelled_at
                                     WHEN refunded_at > cancelled_at THEN refunded_at - cancelled_at END) * 1000)::bigint AS settlement_ms,
       round(extract(epoch FROM greatest(confirmed_at, cancelled_at, captured_at, paid_at, voided_at, refunded_at, shipped_at, delivered_at, told_at)
                                - placed_at - coalesce(cancelled_at - confirmed_at, interval '0')) * 1000)::bigint AS total_ms,
       told, confirmed_at, cancelled_at, authorised_at, declined_at, captured_at, paid_at, voided_at, refunded_at, shipped_at, delivered_at, told_at
FROM waiting;
COMMENT ON VIEW analytics.sagas IS 'Where each order stands on its way through all contexts, and how long each step took.';
COMMENT ON COLUMN analytics.sagas.order_id IS 'The order.';
COMMENT ON COLUMN analytics.sagas.customer_id IS 'Who placed it.';
COMMENT ON COLUMN analytics.sagas.code IS 'What cancelled it: customer, stock, payment or expired; NULL otherwise.';
COMMENT ON COLUMN analytics.sagas.reason IS 'Why it was cancelled, in words.';
COMMENT ON COLUMN analytics.sagas.total_minor IS 'What it comes to, in minor units.';
COMMENT ON COLUMN analytics.sagas.currency IS 'Of its amounts.';
COMMENT ON COLUMN analytics.sagas.captured_minor IS 'What was taken from the card.';
COMMENT ON COLUMN analytics.sagas.refunded_minor IS 'What was given back of it.';
COMMENT ON COLUMN analytics.sagas.placed_at IS 'When it was placed.';
COMMENT ON COLUMN analytics.sagas.total_ms IS 'Milliseconds from the order to the last step so far, less the time in which a confirmed order had not been cancelled yet.';
COMMENT ON COLUMN analytics.sagas.confirmed_at IS 'When everything was reserved and the money held.';
COMMENT ON COLUMN analytics.sagas.cancelled_at IS 'When it was cancelled.';
COMMENT ON COLUMN analytics.sagas.authorised_at IS 'When the money was held.';
COMMENT ON COLUMN analytics.sagas.declined_at IS 'When the card was declined.';
COMMENT ON COLUMN analytics.sagas.captured_at IS 'When the money was taken.';
COMMENT ON COLUMN analytics.sagas.paid_at IS 'When the order heard of that.';
COMMENT ON COLUMN analytics.sagas.voided_at IS 'When the money that was held was let go.';
COMMENT ON COLUMN analytics.sagas.refunded_at IS 'When money was last given back.';
COMMENT ON COLUMN analytics.sagas.shipped_at IS 'When it left.';
COMMENT ON COLUMN analytics.sagas.delivered_at IS 'When it arrived.';
COMMENT ON COLUMN analytics.sagas.told_at IS 'When the customer was last told something.';
COMMENT ON COLUMN analytics.sagas.outcome IS 'open, confirmed, shipped, delivered or cancelled';
COMMENT ON COLUMN analytics.sagas.step IS 'What the order waits for now; done when nothing is left to do.';
COMMENT ON COLUMN analytics.sagas.at_rest IS 'Nothing moves until somebody ships or delivers it, or nothing is left to do.';
COMMENT ON COLUMN analytics.sagas.stock_ms IS 'Milliseconds from the order to the last answer about its stock.';
COMMENT ON COLUMN analytics.sagas.payment_ms IS 'Milliseconds from the order to the answer of the payment.';
COMMENT ON COLUMN analytics.sagas.decision_ms IS 'Milliseconds from the order to its confirmation or cancellation.';
COMMENT ON COLUMN analytics.sagas.settlement_ms IS 'Milliseconds from the confirmation until the money was captured; of a cancelled order, from the cancellation until it was let go or given back.';
COMMENT ON COLUMN analytics.sagas.told IS 'How many messages to the customer were sent, failed or skipped.';
