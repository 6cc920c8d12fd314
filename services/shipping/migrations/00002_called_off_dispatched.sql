-- +goose Up
-- A parcel that left although its shipment failed or was cancelled here has a time of
-- dispatch too. It is what says that this was told.
ALTER TABLE shipments
    DROP CONSTRAINT shipments_dispatched,
    ADD CONSTRAINT shipments_dispatched CHECK (
        CASE
            WHEN state IN ('DISPATCHED', 'DELIVERED') THEN dispatched_at IS NOT NULL
            WHEN state IN ('FAILED', 'CANCELLED') THEN true
            ELSE dispatched_at IS NULL
        END
    );

-- +goose Down
UPDATE shipments SET dispatched_at = NULL WHERE state IN ('FAILED', 'CANCELLED');
ALTER TABLE shipments
    DROP CONSTRAINT shipments_dispatched,
    ADD CONSTRAINT shipments_dispatched CHECK ((state IN ('DISPATCHED', 'DELIVERED')) = (dispatched_at IS NOT NULL));
