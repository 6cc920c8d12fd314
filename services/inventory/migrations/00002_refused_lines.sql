-- +goose Up
-- A line that asks for nothing, or for less, is kept and refused with the whole order, as one
-- that stock cannot cover: the saga then ends as any other, where a constraint would make a
-- dead letter of the event.
ALTER TABLE reservation_items DROP CONSTRAINT reservation_items_quantity_check;
COMMENT ON TABLE reservation_items IS 'What each order asks for, as its OrderCreated said. Only lines of 1 to 2147483647 pieces are ever reserved.';

-- +goose Down
DELETE FROM reservation_items WHERE quantity < 1;
ALTER TABLE reservation_items ADD CONSTRAINT reservation_items_quantity_check CHECK (quantity > 0);
COMMENT ON TABLE reservation_items IS NULL;
