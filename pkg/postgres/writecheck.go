package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
)

const (
	// writeCheckEvery bounds the cost of readiness checks, whatever their number and frequency: one
	// transaction id in five seconds.
	writeCheckEvery = 5 * time.Second
	// writeCheckAgain is the pause after a check that failed, so that a recovery is seen soon, and
	// before a check that follows a refusal.
	writeCheckAgain = time.Second
)

// writeCheck checks whether the database accepts writes, and caches the result for a while. The
// zero value is ready to use.
type writeCheck struct {
	mu      sync.Mutex // locked during a check: concurrent callers share its result
	asked   time.Time
	err     error
	suspect bool // a refusal occurred since
}

// ask draws a transaction id, which a standby, a read-only database and one that protects itself
// from wraparound refuse. After a refusal, and until the check succeeds, it also has the refused
// statements planned and writes to every table (see [Probe]). The plans detect what an unfinished
// migration or a missing grant lacks; the writes detect the rest.
func (w *writeCheck) ask(ctx context.Context, pool *pgxpool.Pool, refusals *Refusals) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.suspect = refusals.take() || w.suspect
	thorough := w.suspect || w.err != nil
	keep := writeCheckEvery
	if thorough {
		keep = writeCheckAgain
	}
	if time.Since(w.asked) < keep {
		return w.err
	}
	w.suspect = false
	err := InTx(ctx, pool, func(tx pgx.Tx) error {
		var readOnly bool
		if err := tx.QueryRow(ctx, `SELECT current_setting('transaction_read_only')::bool FROM pg_current_xact_id()`).Scan(&readOnly); err != nil {
			return err
		}
		if readOnly {
			return errs.New(errs.Transient, "transactions are read-only (default_transaction_read_only)")
		}
		if thorough {
			if err := refusals.again(ctx, tx); err != nil {
				return err
			}
			if err := Probe(ctx, tx); err != nil {
				return err
			}
		}
		return errUndo
	})
	if errors.Is(err, errUndo) {
		err = nil
	}
	w.err, w.asked = nil, time.Now()
	if err != nil {
		w.err = fmt.Errorf("database refuses work: %w", err)
	}
	return w.err
}

// errUndo rolls back a transaction that only tests whether it works.
var errUndo = errors.New("undo")
