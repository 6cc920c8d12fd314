package capture

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// Mode selects the relay of an outbox's events. It is a row of the database, so that all processes
// agree.
//
// In both modes the polling relay sends raw rows (retries and dead letters) and republished rows.
// In mode Debezium all other rows are sent from the log.
//
// While both relay for a moment, records are published twice, and first occurrences keep their
// order: each of the two sends a record only after the earlier records of its key, which it has
// sent itself or knows to be sent.
type Mode string

const (
	Polling  Mode = "polling"  // the polling relay reads the table
	Debezium Mode = "debezium" // Debezium reads the database's log
)

// RelayMode is the mode, and the state of the relaying.
type RelayMode struct {
	Mode  Mode
	Slot  string // of mode debezium
	Lost  string // why the slot cannot be trusted any more
	Since time.Time
	By    string // the operator who set it

	// Newest is the largest sequence number of the unpublished events, 0 when there is none.
	Newest int64
	// Waiting is the number of unpublished events up to the requested sequence number. Of each
	// shard at most a thousand are counted.
	Waiting int64

	State *SlotState // of the slot, while it exists
}

// ReadMode returns the mode of the outbox in pool, and how many of the events up to a sequence
// number are unpublished. Errors: [errs.Transient] when the database is unavailable.
func ReadMode(ctx context.Context, pool *pgxpool.Pool, upTo int64) (RelayMode, error) {
	var m RelayMode
	err := pool.QueryRow(ctx, `SELECT mode, slot, lost, since, set_by,
			(SELECT coalesce(max(seq), 0) FROM outbox_lease l CROSS JOIN LATERAL (
				SELECT q.seq FROM outbox_queue q WHERE q.shard = l.shard AND NOT q.raw ORDER BY q.seq DESC LIMIT 1) newest),
			(SELECT count(*) FROM outbox_lease l CROSS JOIN LATERAL (
				SELECT FROM outbox_queue q WHERE q.shard = l.shard AND NOT q.raw AND q.seq <= $1 ORDER BY q.seq LIMIT 1000) waiting)
		FROM outbox_mode`, upTo).Scan(&m.Mode, &m.Slot, &m.Lost, &m.Since, &m.By, &m.Newest, &m.Waiting)
	if err == nil && m.Mode == Debezium {
		m.State, err = slotState(ctx, pool, m.Slot)
	}
	if err != nil {
		return m, postgres.Classify(fmt.Errorf("look at the outbox relay's mode: %w", err))
	}
	return m, nil
}

// SetMode changes the mode. by is the operator who changes it. Relays follow within a third of
// their lease. Setting the same mode again has no effect, so a caller that lost the answer can
// repeat the call.
//
// To change to mode Debezium, the caller takes these steps. It creates the slot. It waits until
// polling has published everything that was committed before the slot: [ReadMode] returns Newest,
// and later a Waiting of 0 for it. It starts a connector that reads the slot. Then it calls
// SetMode. Otherwise neither relay would send an event that is neither published nor in the slot.
// To change to mode Polling, the caller first stops the connector.
//
// Errors: [errs.Conflict] when the database shows that a step is missing: the slot is missing, lost
// or, for Polling, read by a session; the outbox is on hold; rows are being published again.
// [errs.Invalid] for any other mode, and for Debezium without a slot.
func SetMode(ctx context.Context, pool *pgxpool.Pool, mode Mode, slot, by string) error {
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		// The lock excludes transactions that put the outbox on hold: they read the mode under a
		// weaker lock.
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
	return nil
}

// mayPoll refuses a change to polling while a connector reads the slot.
func mayPoll(_ context.Context, _ pgx.Tx, slot string, s *SlotState) error {
	if s != nil && s.Active {
		return errs.New(errs.Conflict, "the slot %s is being read; stop the connector first", slot)
	}
	return nil
}

// mayCapture refuses a change to Debezium when the slot is lost, or while relays must not send or
// rows are being published again.
func mayCapture(ctx context.Context, tx pgx.Tx, slot string, s *SlotState) error {
	if why := s.lost(slot); why != "" {
		return errs.New(errs.Conflict, "%s", why)
	}
	var held, again bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM outbox_hold WHERE expires_at > clock_timestamp()),
		EXISTS (SELECT FROM outbox_queue WHERE NOT captured AND NOT raw)`).Scan(&held, &again)
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
