CREATE OR REPLACE VIEW analytics.customers AS
SELECT u.user_id AS customer_id, u.status, u.requested_at AS since, o.currency,
       count(o.order_id) AS orders,
       count(o.order_id) FILTER (WHERE o.status = 'cancelled') AS cancelled,
       count(o.order_id) FILTER (WHERE o.status = 'delivered') AS delivered,
       coalesce(sum(p.captured_minor), 0)::bigint AS captured_minor,
       coalesce(sum(p.refunded_minor), 0)::bigint AS refunded_minor,
       max(o.placed_at) AS last_order_at
FROM analytics.users u
LEFT JOIN analytics.orders o ON o.customer_id = u.user_id
LEFT JOIN analytics.payments p ON p.order_id = o.order_id
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW analytics.customers IS 'One row a user and currency they ordered in: what they ordered, paid and got back.';
COMMENT ON COLUMN analytics.customers.customer_id IS 'The user''s id.';
COMMENT ON COLUMN analytics.customers.status IS 'pending, refused or active, as in users.';
COMMENT ON COLUMN analytics.customers.since IS 'When they asked to be registered.';
COMMENT ON COLUMN analytics.customers.currency IS 'Of these orders; NULL for who ordered nothing.';
COMMENT ON COLUMN analytics.customers.orders IS 'Orders they placed.';
COMMENT ON COLUMN analytics.customers.cancelled IS 'Orders of theirs that were cancelled, by whomever.';
COMMENT ON COLUMN analytics.customers.delivered IS 'Orders of theirs that were delivered.';
COMMENT ON COLUMN analytics.customers.captured_minor IS 'What was taken from their cards, in minor units of the currency.';
COMMENT ON COLUMN analytics.customers.refunded_minor IS 'What they got back of it.';
COMMENT ON COLUMN analytics.customers.last_order_at IS 'When they last placed one.';

CREATE OR REPLACE VIEW analytics.revenue AS
SELECT date_trunc('day', o.placed_at AT TIME ZONE 'UTC')::date AS day, o.currency,
       count(*) AS placed,
       count(*) FILTER (WHERE o.status = 'cancelled') AS cancelled,
       sum(o.total_minor)::bigint AS placed_minor,
       coalesce(sum(p.captured_minor), 0)::bigint AS captured_minor,
       coalesce(sum(p.refunded_minor), 0)::bigint AS refunded_minor
FROM analytics.orders o
LEFT JOIN analytics.payments p ON p.order_id = o.order_id
GROUP BY 1, 2;
COMMENT ON VIEW analytics.revenue IS 'One row a day and currency: what was ordered that day, and what came of it.';
COMMENT ON COLUMN analytics.revenue.day IS 'The day the orders were placed, in UTC.';
COMMENT ON COLUMN analytics.revenue.currency IS 'Of the orders.';
COMMENT ON COLUMN analytics.revenue.placed IS 'Orders placed.';
COMMENT ON COLUMN analytics.revenue.cancelled IS 'Those of them that were cancelled since.';
COMMENT ON COLUMN analytics.revenue.placed_minor IS 'What they came to, in minor units.';
COMMENT ON COLUMN analytics.revenue.captured_minor IS 'What was taken from cards for them.';
COMMENT ON COLUMN analytics.revenue.refunded_minor IS 'What was given back of that.';

CREATE OR REPLACE VIEW analytics.assortment AS
SELECT p.sku, p.name, p.listed, p.unit_price_minor, p.currency, s.on_hand, s.reserved, s.shipped, s.refused_orders
FROM analytics.products p
LEFT JOIN analytics.stock s USING (sku);
COMMENT ON VIEW analytics.assortment IS 'One row a product, with its stock.';
COMMENT ON COLUMN analytics.assortment.sku IS 'The product''s id, and its stock''s.';
COMMENT ON COLUMN analytics.assortment.name IS 'What it is called.';
COMMENT ON COLUMN analytics.assortment.listed IS 'Whether it is for sale.';
COMMENT ON COLUMN analytics.assortment.unit_price_minor IS 'What one costs, in minor units.';
COMMENT ON COLUMN analytics.assortment.currency IS 'Of the price.';
COMMENT ON COLUMN analytics.assortment.on_hand IS 'What may still be reserved.';
COMMENT ON COLUMN analytics.assortment.reserved IS 'What is kept for orders on their way.';
COMMENT ON COLUMN analytics.assortment.shipped IS 'What has left.';
COMMENT ON COLUMN analytics.assortment.refused_orders IS 'How often an order could not have it.';

CREATE OR REPLACE VIEW analytics.order_lines AS
SELECT e.subject AS order_id, e.at AS placed_at, e.content->>'customer_id' AS customer_id, l.sku, l.quantity, l.unit_price_minor,
       l.quantity * l.unit_price_minor AS amount_minor, e.content->>'currency' AS currency
FROM analytics.events e, jsonb_to_recordset(e.content->'lines') AS l (sku text, quantity bigint, unit_price_minor bigint)
WHERE e.context = 'orders' AND e.type = 'orders.OrderPlaced';
COMMENT ON VIEW analytics.order_lines IS 'One row a product of an order, as it was ordered; what became of it is in orders and sagas, by order_id.';
COMMENT ON COLUMN analytics.order_lines.order_id IS 'The order.';
COMMENT ON COLUMN analytics.order_lines.placed_at IS 'When it was placed.';
COMMENT ON COLUMN analytics.order_lines.customer_id IS 'Who placed it.';
COMMENT ON COLUMN analytics.order_lines.sku IS 'The product.';
COMMENT ON COLUMN analytics.order_lines.quantity IS 'How many of it.';
COMMENT ON COLUMN analytics.order_lines.unit_price_minor IS 'What one cost, in minor units.';
COMMENT ON COLUMN analytics.order_lines.amount_minor IS 'What all of them cost, in minor units.';
COMMENT ON COLUMN analytics.order_lines.currency IS 'Of its prices.';
