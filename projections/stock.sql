CREATE TABLE stock (
    sku            text PRIMARY KEY,
    price_minor    bigint,
    on_hand        bigint NOT NULL,
    reserved       bigint NOT NULL,
    shipped        bigint NOT NULL,
    adjusted       bigint NOT NULL,
    refused_orders bigint NOT NULL,
    changed_at     timestamptz NOT NULL
);

CREATE OR REPLACE VIEW analytics.stock AS
SELECT sku, price_minor, on_hand, reserved, shipped, adjusted, refused_orders, changed_at FROM stock;
COMMENT ON VIEW analytics.stock IS 'One row a SKU; always adjusted = on_hand + reserved + shipped, and none is below 0.';
COMMENT ON COLUMN analytics.stock.sku IS 'The product.';
COMMENT ON COLUMN analytics.stock.shipped IS 'What has left.';
COMMENT ON COLUMN analytics.stock.changed_at IS 'When it last changed.';
COMMENT ON COLUMN analytics.stock.price_minor IS 'What one costs, in minor units; NULL while it is not for sale.';
COMMENT ON COLUMN analytics.stock.on_hand IS 'What may still be reserved.';
COMMENT ON COLUMN analytics.stock.reserved IS 'What is kept for orders that are neither shipped nor cancelled.';
COMMENT ON COLUMN analytics.stock.adjusted IS 'What came in, less what went lost.';
COMMENT ON COLUMN analytics.stock.refused_orders IS 'How often an order could not have it.';
