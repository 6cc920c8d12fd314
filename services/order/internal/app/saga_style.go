package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// sagaStylePoll bounds the delay with which a process notices what another process has changed.
const sagaStylePoll = time.Second

// SagaStyle says which style new orders have that do not name one, and whether orders can be
// orchestrated at all. All processes share it, in a table of one row.
type SagaStyle struct {
	OrchestratedPercent int // of the customers; from 0 to 100
	ChangedAt           time.Time
	Ready               bool   // every participant knows both styles
	Reason              string // why not; "" when ready
}

// NotReadyError is the error of a command that asks for an orchestrated saga while a participant does
// not know styles. Its kind is Conflict.
type NotReadyError struct{ Reason string }

func (e *NotReadyError) Error() string { return "orders cannot be orchestrated: " + e.Reason }

func notReady(reason string) error {
	return errs.New(errs.Conflict, "%w", &NotReadyError{reason})
}

// choose returns the style of a new order. "" is the style of the ramp: orchestrated for the percentage
// of the customers. A customer that is among them at some percentage is so at every higher one, so a
// ramp that is raised moves no customer back. The error is a [*NotReadyError].
func (s SagaStyle) choose(customerID string, asked order.Style) (order.Style, error) {
	switch {
	case asked == order.Orchestrated && !s.Ready:
		return "", notReady(s.Reason)
	case asked != "":
		return asked, nil
	case s.Ready && rampPlace(customerID) < s.OrchestratedPercent:
		return order.Orchestrated, nil
	}
	return order.Choreographed, nil
}

// rampPlace returns a customer's place on the ramp, from 0 to 99. It is the same in every process and release.
func rampPlace(customerID string) int {
	sum := sha256.Sum256([]byte(customerID))
	return int(binary.BigEndian.Uint64(sum[:8]) % 100)
}

// ramp is a process's copy of the row, so that an order costs no statement for it.
type ramp struct {
	copied atomic.Pointer[SagaStyle] // nil: not read yet
}

// sagaStyle returns the copy. Before there is one, it reads the row in the caller's transaction.
func (a *App) sagaStyle(ctx context.Context, tx pgx.Tx) (SagaStyle, error) {
	if s := a.ramp.copied.Load(); s != nil {
		return *s, nil
	}
	return a.readSagaStyle(ctx, tx)
}

// styleFor returns the style of a new order of a customer; see [SagaStyle.choose].
func (a *App) styleFor(ctx context.Context, tx pgx.Tx, customerID string, asked order.Style) (order.Style, error) {
	s, err := a.sagaStyle(ctx, tx)
	if err != nil {
		return "", err
	}
	return s.choose(customerID, asked)
}

// GetSagaStyle reads the row.
func (a *App) GetSagaStyle(ctx context.Context) (SagaStyle, error) {
	return a.readSagaStyle(ctx, a.reads)
}

func (a *App) readSagaStyle(ctx context.Context, q postgres.Querier) (SagaStyle, error) {
	row, err := db.New(q).ReadSagaStyle(ctx)
	if err != nil {
		return SagaStyle{}, fmt.Errorf("read the saga style: %w", err)
	}
	return a.keepSagaStyle(row), nil
}

func (a *App) keepSagaStyle(row db.ReadSagaStyleRow) SagaStyle {
	s := SagaStyle{int(row.OrchestratedPercent), row.ChangedAt.UTC(), row.Ready, row.Reason}
	a.ramp.copied.Store(&s)
	a.metrics.gate.Set(0)
	if s.Ready {
		a.metrics.gate.Set(1)
	}
	return s
}

// RunSagaStyle keeps the process's copy of the row up to date until ctx ends. While the database is away
// the copy stays as it is. No order can be placed then.
func (a *App) RunSagaStyle(ctx context.Context) error {
	ticker := time.NewTicker(sagaStylePoll)
	defer ticker.Stop()
	failing := false
	for {
		_, err := a.GetSagaStyle(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			a.log.WarnContext(ctx, "saga style not read; will be tried again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
