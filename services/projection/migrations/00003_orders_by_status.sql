-- +goose Up
-- A page of the orders with a status must never be found by walking the primary key past orders
-- with other statuses: of a rare status, or an old one, that is the whole table. The planner chose
-- that where it thought a status common, since the primary key has the order of the pages as well.
-- With a collation of its own, only this index has that order. Writes to the table wait while it is
-- built, some seconds for a million orders. Processes of the release before use other indexes
-- meanwhile, and are slow for rare statuses.
SET LOCAL lock_timeout = '5s';
DROP INDEX orders_by_status;
CREATE INDEX orders_by_status_and_id ON orders (status, order_id COLLATE "C" DESC);

-- +goose Down
DROP INDEX orders_by_status_and_id;
CREATE INDEX orders_by_status ON orders (status, order_id DESC);
