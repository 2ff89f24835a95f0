CREATE TABLE orders (
    order_id    text PRIMARY KEY,
    customer_id text NOT NULL,
    status      text NOT NULL CHECK (status IN ('placed', 'confirmed', 'cancelled')),
    reason      text NOT NULL,
    currency    text NOT NULL,
    total_minor bigint NOT NULL,
    line_count  bigint NOT NULL,
    placed_at   timestamptz NOT NULL,
    closed_at   timestamptz
);
CREATE INDEX ON orders (customer_id, placed_at);

CREATE VIEW analytics.orders AS
SELECT order_id, customer_id, status, reason, currency, total_minor, line_count, placed_at, closed_at FROM orders;
COMMENT ON VIEW analytics.orders IS 'One row an order, as of its latest event.';
COMMENT ON COLUMN analytics.orders.status IS 'placed, confirmed or cancelled';
COMMENT ON COLUMN analytics.orders.reason IS 'Why it was cancelled; empty otherwise.';
COMMENT ON COLUMN analytics.orders.total_minor IS 'Sum of its lines in minor units of its currency (cents for EUR).';
