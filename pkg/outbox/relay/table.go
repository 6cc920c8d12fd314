package relay

import (
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/outbox/capture"
)

// statementTimeout bounds a statement of the relay. A connection that broke unnoticed would
// otherwise block its loop until the system closes it after a quarter of an hour, while the lease
// loop renews the leases over another connection.
const statementTimeout = 15 * time.Second

// table is the outbox table as one relay uses it. Its methods contain all SQL of this package: the
// leases, the reads, the marks and the measurement.
type table struct {
	pool  *pgxpool.Pool
	id    uuid.UUID // of this relay; never reused, so that a successor has another one
	lease time.Duration
	mode  atomic.Pointer[capture.Mode] // as of the last claim
}

func newTable(pool *pgxpool.Pool, lease time.Duration) *table {
	t := &table{pool: pool, id: uuid.New(), lease: lease}
	mode := capture.Polling
	t.mode.Store(&mode)
	return t
}
