// Package verify checks the system's invariants from outside: it reads the
// services' databases, the topics and the gateway's ledger, and believes none of
// the services. Loading and checking are apart, so that every check can be shown
// to fail on planted facts.
//
// It expects a system at rest. Load waits for that; what is still moving when
// the wait is over is a finding of its own (I3, I4).
package verify

import (
	"time"

	"github.com/google/uuid"
)

// Facts is everything the checks look at, as read at one moment of rest.
type Facts struct {
	At           time.Time // when they were read
	Orders       []Order
	Ledger       []LedgerEntry
	Payments     []Payment
	Stock        []Stock
	Reservations []Reservation
	Outbox       []OutboxRow
	Records      []Record // of every topic but the groups' own, partition by partition in offset order
	Inbox        []InboxRow
	Failures              // what the groups failed at
	Answers      []Answer // stored answers to idempotent POST /orders
	Projection   Projection
	Rebuilt      Projection // the same read models, folded from the records the projection has heard
}

// Order is one order's stream in the order service's event store.
type Order struct {
	ID       string
	Events   []DomainEvent // by version
	Snapshot *Snapshot
}

// DomainEvent is one stored event of an order.
type DomainEvent struct {
	Version int64
	Type    string
	Data    map[string]any
}

// Snapshot is the stored state of an order as of a version.
type Snapshot struct {
	Version int64
	Status  string
}

// LedgerEntry is one line of the gateway's ledger. Amount is in minor units.
type LedgerEntry struct {
	OrderID, Kind, Currency string
	Amount                  int64
}

// Payment is a row of the payment service.
type Payment struct {
	OrderID, State string
}

// Stock is a row of the inventory service, in pieces.
type Stock struct {
	SKU                                              string
	Initial, Restocked, Available, Reserved, Shipped int64
	Receipts                                         Total // sum of the goods-received rows
}

// Reservation is one order's reservation with its items.
type Reservation struct {
	OrderID, State string
	Items          map[string]int64
}

// OutboxRow is a row of some service's outbox. One that is raw is no event of the
// service: a retry record, or the copy of a dead letter.
type OutboxRow struct {
	Service, Topic, Type, AggregateID, CausationID string
	ID                                             uuid.UUID
	Published, Raw                                 bool
}

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	ID        uuid.UUID // zero for a record that is no event
	Type      string
	Version   int64
	Causation string
	Event     any  // decoded, nil where that is not possible
	Strayed   bool // it lies on another partition than its key's, where no service puts it
	Time      time.Time
	Sum       Sum
}

// Place is where the record lies.
func (r Record) Place() Place { return Place{r.Topic, r.Partition, r.Offset, r.Time.UnixMilli()} }

// InboxRow is a receipt in some service's inbox.
type InboxRow struct {
	Service, Group string
	ID             uuid.UUID
}

// Answer is a stored answer to a POST /orders with an Idempotency-Key. Scope holds
// the caller too: keys of different callers never meet.
type Answer struct {
	Scope, Key, OrderID string
	Status              int
}

// Projection is the read models in a form that can be compared.
type Projection struct {
	Orders   map[string]ProjectedOrder
	Timeline map[string]map[uuid.UUID]string // order → event id → type
	Revenue  map[string]Revenue              // "2026-11-25 GBP" → sums
}

// ProjectedOrder is one order of the read model.
type ProjectedOrder struct {
	Status, CustomerID, Currency, TrackingID, CancelReason string
	TotalAmount                                            int64
	NeedsAttention                                         bool
	UpdatedAt                                              time.Time
	Items                                                  int
}

// Revenue is one day's sums in minor units.
type Revenue struct {
	Captured, Refunded Total
	Payments, Refunds  int64
}

// Equal reports whether both days took and gave back the same.
func (r Revenue) Equal(o Revenue) bool {
	return r.Captured.Equal(o.Captured) && r.Refunded.Equal(o.Refunded) && r.Payments == o.Payments && r.Refunds == o.Refunds
}

// Finding is the result of one invariant.
type Finding struct {
	Invariant string   // "I1"
	Title     string   // what it says, in a few words
	Counted   string   // what was looked at, with figures
	Breaches  []string // each names the order, SKU or event at fault
}

// OK tells whether the invariant holds.
func (f Finding) OK() bool { return len(f.Breaches) == 0 }

// Check runs every invariant over the facts, in order.
func Check(f Facts) []Finding {
	return []Finding{
		money(f), stock(f), terminal(f), published(f), effects(f), versions(f),
		settled(f), answers(f), streams(f), projection(f), resubmissions(f),
	}
}
