CREATE TABLE products (
    sku              text PRIMARY KEY,
    name             text NOT NULL,
    description      text NOT NULL,
    attributes       text NOT NULL,
    unit_price_minor bigint NOT NULL,
    currency         text NOT NULL,
    listed           boolean NOT NULL,
    changed_at       timestamptz NOT NULL
);
CREATE INDEX ON products USING gin (to_tsvector('english', name || ' ' || description || ' ' || attributes));
CREATE INDEX ON products USING gin ((attributes::jsonb));

CREATE OR REPLACE VIEW analytics.products AS
SELECT sku, name, description, attributes::jsonb AS attributes, unit_price_minor, currency, listed, changed_at,
       to_tsvector('english', name || ' ' || description || ' ' || attributes) AS words
FROM products;
COMMENT ON VIEW analytics.products IS 'One row a product. By words: words @@ websearch_to_tsquery(''english'', ''blue mug''); by attribute: attributes @> ''{"colour": "blue"}''.';
COMMENT ON COLUMN analytics.products.sku IS 'The product.';
COMMENT ON COLUMN analytics.products.name IS 'What it is called.';
COMMENT ON COLUMN analytics.products.description IS 'What is said about it.';
COMMENT ON COLUMN analytics.products.unit_price_minor IS 'What one costs, in minor units.';
COMMENT ON COLUMN analytics.products.currency IS 'Of the price.';
COMMENT ON COLUMN analytics.products.changed_at IS 'When it last changed.';
COMMENT ON COLUMN analytics.products.attributes IS 'What it was listed with, as a JSON object.';
COMMENT ON COLUMN analytics.products.listed IS 'Whether it is for sale.';
COMMENT ON COLUMN analytics.products.words IS 'Its name, description and attributes for full text search.';

CREATE OR REPLACE FUNCTION analytics.search_products(query text, wanted jsonb DEFAULT '{}') RETURNS SETOF analytics.products
LANGUAGE sql STABLE AS $$
    SELECT * FROM analytics.products p
    WHERE p.listed AND p.words @@ websearch_to_tsquery('english', query) AND p.attributes @> wanted
    ORDER BY ts_rank(p.words, websearch_to_tsquery('english', query)) DESC, p.sku
$$;
COMMENT ON FUNCTION analytics.search_products IS 'Products for sale by words, best first, and with these attributes.';
