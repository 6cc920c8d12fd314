package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// onDatabase calls do with a connection of its own. Changes of the relay are too rare for a pool.
func onDatabase(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

// alone calls do while no other process changes the relay of the service. Slot and connector are
// created and removed in several steps, and two concurrent changes would undo each other's steps.
// It waits for other changes. The lock ends with the connection, and so with the process that has
// it.
func alone(ctx context.Context, url string, do func() error) error {
	return onDatabase(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended('eventshop relay', 0))`); err != nil {
			return fmt.Errorf("wait for who else changes it: %w", err)
		}
		return do()
	})
}

// createSlot creates the slot. It waits for the transactions that write at this moment.
func createSlot(ctx context.Context, url, slot string) error {
	return onDatabase(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, slot); err != nil {
			return fmt.Errorf("make the slot %s: %w", slot, err)
		}
		return nil
	})
}

// confirmed returns the position up to which the slot's reader has confirmed everything, as a
// number.
func confirmed(ctx context.Context, url, slot string) (lsn int64, err error) {
	err = onDatabase(ctx, url, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint FROM pg_replication_slots
			WHERE slot_name = $1 AND database = current_database()`, slot).Scan(&lsn)
		if err != nil {
			return fmt.Errorf("look at the slot %s: %w", slot, err)
		}
		return nil
	})
	return lsn, err
}

// dropSlot drops a slot that has no reader. A missing slot is no error.
func dropSlot(ctx context.Context, url, slot string) error {
	if err := awaitSlot(ctx, url, slot, false); err != nil {
		return err
	}
	return onDatabase(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()`, slot)
		if err != nil {
			return fmt.Errorf("drop the slot %s: %w", slot, err)
		}
		return nil
	})
}

// awaitSlot waits until the slot has a reader, or has none. A missing slot has none.
func awaitSlot(ctx context.Context, url, slot string, active bool) error {
	return onDatabase(ctx, url, func(conn *pgx.Conn) error {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var is bool
			err := conn.QueryRow(ctx, `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&is)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("look at the slot %s: %w", slot, err)
			}
			if is == active {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				if active {
					return fmt.Errorf("no process reads the slot %s: %w", slot, ctx.Err())
				}
				return fmt.Errorf("the slot %s is still being read: %w", slot, ctx.Err())
			}
		}
	})
}
