package capture

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// SlotState is the server's report on a replication slot.
type SlotState struct {
	Active    bool   // a session reads it
	LagBytes  int64  // of the log, not confirmed yet; that of other databases counts
	Retained  int64  // of the log, kept for the slot
	WALStatus string // reserved, extended, unreserved, lost
	SafeBytes *int64 // that can be written until the slot is lost; none: no limit

	confirmed string // confirmed_flush_lsn
}

// lost returns why a slot is useless; "" while it is usable.
func (s *SlotState) lost(slot string) string {
	switch {
	case s == nil:
		return "the slot " + slot + " does not exist any more"
	case s.WALStatus == "lost" || s.WALStatus == "":
		return "the server has removed log that Debezium had not read: the slot " + slot + " lagged further behind than max_slot_wal_keep_size"
	}
	return ""
}

// slotState returns nil for a slot that does not exist or that belongs to another database or
// plugin.
func slotState(ctx context.Context, q postgres.Querier, slot string) (*SlotState, error) {
	var s SlotState
	err := q.QueryRow(ctx, `SELECT active, coalesce(wal_status, ''), safe_wal_size, confirmed_flush_lsn::text,
			pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
			coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
		FROM pg_replication_slots
		WHERE slot_name = $1 AND database = current_database() AND plugin = 'pgoutput' AND confirmed_flush_lsn IS NOT NULL`, slot).
		Scan(&s.Active, &s.WALStatus, &s.SafeBytes, &s.confirmed, &s.LagBytes, &s.Retained)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &s, err
}
