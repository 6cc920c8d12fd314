-- name: ReadSagaStyle :one
SELECT orchestrated_percent, changed_at, ready, reason, checked_at FROM saga_style;

-- name: SetSagaStyle :one
-- No row: the participants are not ready for it.
UPDATE saga_style SET orchestrated_percent = @orchestrated_percent, changed_at = @changed_at
WHERE ready OR @orchestrated_percent::int = 0
RETURNING orchestrated_percent, changed_at, ready, reason, checked_at;

-- name: KeepVerdict :execrows
-- Nothing when another process has kept one meanwhile: its answer of Kafka may be the later one.
UPDATE saga_style SET ready = @ready, reason = @reason, checked_at = @checked_at WHERE checked_at = @since;
