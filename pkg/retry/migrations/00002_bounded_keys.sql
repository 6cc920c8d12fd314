-- +goose Up

-- An index row has room for some 2,700 bytes, and a record's key may be as large as the
-- record. Keys of more than 512 bytes are known by their hash from now on; see retry.KeyOf.
-- parked_records.record_key and dead_letters.record_key keep the key as it came.
UPDATE parked_keys SET key = 'sha256:'::bytea || sha256(key) WHERE octet_length(key) > 512;
UPDATE parked_records SET key = 'sha256:'::bytea || sha256(key) WHERE octet_length(key) > 512;

-- +goose Down
-- The original keys are in parked_records and dead_letters only: hashed ones stay.
SELECT 1;
