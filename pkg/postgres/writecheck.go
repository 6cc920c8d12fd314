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
	// writeCheckEvery bounds what probes cost, however many and however often they ask: a
	// transaction id in five seconds.
	writeCheckEvery = 5 * time.Second
	// writeCheckAgain is the pause after a check that failed, so that the end of the trouble
	// is seen soon, and before one that follows a refusal.
	writeCheckAgain = time.Second
)

// writeCheck asks whether the database takes writes, and keeps the answer for a while. The
// zero value is ready to use.
type writeCheck struct {
	mu      sync.Mutex // held while asking: those who come meanwhile share the answer
	asked   time.Time
	err     error
	suspect bool // something was refused since
}

// ask draws a transaction id, which a standby, a read-only database and one that protects
// itself from wraparound refuse. After a refusal, and until it works, it also has the refused
// statements planned, which notices what is missing of a half-made migration or a grant, and
// writes to every table (see Probe), which notices the rest.
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

// errUndo rolls back a transaction that was only to see whether it works.
var errUndo = errors.New("undo")
