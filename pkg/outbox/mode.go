package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Mode says who relays events. It is kept in the database, so that all processes agree.
//
// Raw rows (retries and dead letters) and what is published again are the polling relay's
// in both modes. Everything else, in mode debezium, goes out by the log: the relay only
// marks what Debezium has confirmed, so that backlog, retention and Republish mean the same.
//
// While both relay for a moment records come twice, and first occurrences keep their order:
// each of the two sends a record only behind those of its key that came before it, which
// it has sent itself or knows as sent.
type Mode string

const (
	Polling  Mode = "polling"
	Debezium Mode = "debezium"
)

// RelayMode is who relays, and how it goes.
type RelayMode struct {
	Mode  Mode      `json:"mode"`
	Slot  string    `json:"slot,omitempty"` // of mode debezium
	Lost  string    `json:"lost,omitempty"` // why the slot can not be trusted any more
	Since time.Time `json:"since"`
	By    string    `json:"by"` // who set it

	// Newest is the largest sequence number of the unpublished events, 0 when there is none.
	Newest int64 `json:"newest"`
	// Waiting is how many events wait up to the sequence number that was asked about.
	Waiting int64 `json:"waiting"`

	State *SlotState `json:"slotState,omitempty"` // of the slot, while it exists
}

// SlotState is what the server tells of a replication slot.
type SlotState struct {
	Active    bool   `json:"active"`              // somebody reads it
	LagBytes  int64  `json:"lagBytes"`            // of the log, not confirmed yet; that of other databases counts
	Retained  int64  `json:"retainedBytes"`       // of the log, kept for the slot
	WALStatus string `json:"walStatus"`           // reserved, extended, unreserved, lost
	SafeBytes *int64 `json:"safeBytes,omitempty"` // that can be written until the slot is lost; none: no limit

	confirmed string // confirmed_flush_lsn
}

// lost is what makes a slot useless; empty while it is fine.
func (s *SlotState) lost(slot string) string {
	switch {
	case s == nil:
		return "the slot " + slot + " does not exist any more"
	case s.WALStatus == "lost" || s.WALStatus == "":
		return "the server has removed log that Debezium had not read: the slot " + slot + " lagged further behind than max_slot_wal_keep_size"
	}
	return ""
}

// RelayMode tells who relays, and how much waits of the events up to a sequence number.
func (o *Outbox) RelayMode(ctx context.Context, pool *pgxpool.Pool, upTo int64) (RelayMode, error) {
	var m RelayMode
	err := pool.QueryRow(ctx, `SELECT mode, slot, lost, since, set_by,
			(SELECT coalesce(max(seq), 0) FROM outbox WHERE published_at IS NULL AND ce_specversion IS NOT NULL),
			(SELECT count(*) FROM outbox WHERE published_at IS NULL AND ce_specversion IS NOT NULL AND seq <= $1)
		FROM outbox_mode`, upTo).Scan(&m.Mode, &m.Slot, &m.Lost, &m.Since, &m.By, &m.Newest, &m.Waiting)
	if err == nil && m.Mode == Debezium {
		m.State, err = slotState(ctx, pool, m.Slot)
	}
	if err != nil {
		return m, postgres.Classify(fmt.Errorf("look at the outbox relay's mode: %w", err))
	}
	return m, nil
}

// slotState returns nil for a slot that is not there, or of another database or plugin.
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

// SetRelayMode changes who relays. by names who wants it. Relays follow within a third of
// their lease. The same again is harmless, and so is a call whose answer was lost.
//
// To mode debezium: first the slot is made; then everything that was committed before it is
// published by polling (RelayMode tells Newest, and when nothing of it is Waiting); then a
// connector reads the slot; then the mode is set. What the slot does not have must be
// published, nobody would do it. To mode polling: first the connector is stopped. Package
// local/connect does both.
//
// Errors: errs.Conflict when that is not so as far as can be seen: the slot is missing, lost
// or, for polling, read by somebody; the outbox is held; rows are being published again.
func (o *Outbox) SetRelayMode(ctx context.Context, pool *pgxpool.Pool, mode Mode, slot, by string) error {
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		// Against those that make a hold, who look at the mode under a weaker lock.
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '10s'; LOCK TABLE outbox_lease IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		var had RelayMode
		if err := tx.QueryRow(ctx, `SELECT mode, slot, lost FROM outbox_mode FOR UPDATE`).Scan(&had.Mode, &had.Slot, &had.Lost); err != nil {
			return err
		}
		check := mayCapture
		of := slot
		switch {
		case mode == Polling:
			check, of, slot = mayPoll, had.Slot, ""
		case mode != Debezium || slot == "":
			return errs.New(errs.Invalid, "no such mode: %q with the slot %q", mode, slot)
		case had.Mode == Debezium && (had.Slot != slot || had.Lost != ""):
			return errs.New(errs.Conflict, "Debezium relays by the slot %s (%s); change the mode to polling first", had.Slot, had.Lost)
		}
		if had.Mode == mode && had.Slot == slot {
			return nil
		}
		state, err := slotState(ctx, tx, of)
		if err != nil {
			return err
		}
		if err := check(ctx, tx, of, state); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE outbox_mode SET mode = $1, slot = $2, lost = '', since = clock_timestamp(), set_by = $3`, mode, slot, by)
		return err
	})
	if err != nil {
		return postgres.Classify(fmt.Errorf("change the outbox relay's mode to %s: %w", mode, err))
	}
	o.Wake()
	return nil
}

func mayPoll(_ context.Context, _ pgx.Tx, slot string, s *SlotState) error {
	if s != nil && s.Active {
		return errs.New(errs.Conflict, "the slot %s is being read; stop the connector first", slot)
	}
	return nil
}

func mayCapture(ctx context.Context, tx pgx.Tx, slot string, s *SlotState) error {
	if why := s.lost(slot); why != "" {
		return errs.New(errs.Conflict, "%s", why)
	}
	var held, again bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox_hold WHERE expires_at > clock_timestamp()),
		EXISTS (SELECT FROM outbox WHERE published_at IS NULL AND ce_specversion IS NOT NULL AND publication > 1)`).Scan(&held, &again)
	switch {
	case err != nil:
		return err
	case held:
		return errs.New(errs.Conflict, "the outbox is held")
	case again:
		return errs.New(errs.Conflict, "rows are still being published again")
	}
	return nil
}
