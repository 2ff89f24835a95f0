CREATE TABLE orders (
    order_id    text PRIMARY KEY,
    customer_id text NOT NULL,
    status      text NOT NULL CHECK (status IN ('placed', 'confirmed', 'paid', 'cancelled', 'shipped', 'delivered')),
    code        text NOT NULL,
    reason      text NOT NULL,
    currency    text NOT NULL,
    total_minor bigint NOT NULL,
    line_count  bigint NOT NULL,
    tracking    text NOT NULL,
    placed_at   timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL
);
CREATE INDEX ON orders (customer_id, placed_at);

CREATE OR REPLACE VIEW analytics.orders AS
SELECT order_id, customer_id, status, code, reason, currency, total_minor, line_count, tracking, placed_at, changed_at FROM orders;
COMMENT ON VIEW analytics.orders IS 'One row an order, as of its latest event; a customer''s history is where customer_id = ...';
COMMENT ON COLUMN analytics.orders.order_id IS 'The order.';
COMMENT ON COLUMN analytics.orders.customer_id IS 'Who placed it.';
COMMENT ON COLUMN analytics.orders.currency IS 'Of its prices.';
COMMENT ON COLUMN analytics.orders.line_count IS 'How many different products it has.';
COMMENT ON COLUMN analytics.orders.tracking IS 'What the warehouse sent it under; empty until then.';
COMMENT ON COLUMN analytics.orders.placed_at IS 'When it was placed.';
COMMENT ON COLUMN analytics.orders.changed_at IS 'When its status last changed.';
COMMENT ON COLUMN analytics.orders.status IS 'placed, confirmed (reserved and held), paid, cancelled, shipped or delivered';
COMMENT ON COLUMN analytics.orders.code IS 'What cancelled it: customer, stock, payment or expired; empty otherwise.';
COMMENT ON COLUMN analytics.orders.reason IS 'Why it was cancelled, in words; empty otherwise.';
COMMENT ON COLUMN analytics.orders.total_minor IS 'Sum of its lines in minor units of its currency (cents for EUR).';
