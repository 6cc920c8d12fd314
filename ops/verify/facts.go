// Package verify checks the system's invariants from outside. It reads the services' databases, the
// topics, the gateway's ledger and the mailbox, and trusts no service's own statements. Loading and checking are
// separate, so that tests can show for every check that it fails on planted facts.
//
// Events are decoded with the schema registry of the service that wrote them. A record that cannot
// be decoded here, but that consumers can decode, is not a finding: see [Decoded].
//
// Texts from records and tables are quoted in findings, see package quote.
//
// The package expects a system at rest. [Load] waits for that. What still moves after the wait is a
// finding of its own (I3, I4).
package verify

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// Facts is everything that the checks read, as of one moment of rest.
type Facts struct {
	At           time.Time // when they were read
	Orders       []Order
	Ledger       []LedgerEntry
	Payments     []Payment
	Stock        []Stock
	Reservations []Reservation
	Outbox       []OutboxRow
	Records      []Record // of every topic except the groups' own, partition by partition in offset order
	Inbox        []InboxRow
	Positions    []Position // of the groups that store them, on the topics that exist
	Undecoded    []Undecoded
	Failures                   // the groups' failed records
	Answers      []Answer      // stored answers to idempotent POST /orders
	Sagas        []Saga        // of the orchestrator
	Styles       []StoredStyle // of orders, in the services' tables
	Mails        []Mail        // of the notification service
	MailsSince   time.Time     // since when orders get mails
	Mailbox      []string      // the orders of the delivered mails, one entry per mail
	Projection   Projection
	Rebuilt      Projection // the same read models, folded from the records that the projection has received

	positioned   []string // the groups that store positions
	orchestrator bool     // there is one: a shop of the release before has none
}

// Order is one order's stream in the order service's event store.
type Order struct {
	ID        string
	Events    []DomainEvent // by version
	Snapshots []Snapshot
}

// DomainEvent is one stored event of an order.
type DomainEvent struct {
	Version int64
	Type    string
	Data    map[string]any
}

// Snapshot is the stored state of an order at a version.
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

// Mail is one order's mail in the notification service.
type Mail struct {
	OrderID, State string
}

// OutboxRow is a row of a service's outbox. A raw row is not an event of the service: it is a retry
// record or the copy of a dead letter.
type OutboxRow struct {
	Service, Topic, Type, AggregateType, AggregateID, CausationID string
	ID                                                            uuid.UUID
	Published, Raw                                                bool
	Content                                                       Content // of the payload
}

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	ID        uuid.UUID // zero for a record that is not an event
	Type      string
	Version   int64
	Style     event.Style // of its saga; zero for a record that is not an event
	Causation string
	Event     any  // decoded, nil if that is not possible
	Strayed   bool // it is on another partition than its key's, where no service writes it
	Time      time.Time
	Sum       Sum
}

// Place returns the position of the record.
func (r Record) Place() Place { return Place{r.Topic, r.Partition, r.Offset, r.Time.UnixMilli()} }

// InboxRow is a receipt in a service's inbox.
type InboxRow struct {
	Service, Group string
	ID             uuid.UUID
}

// Position is how far a group has handled a partition of a topic: it has received every record below
// Next.
type Position struct {
	Service, Group, Topic string
	TopicID               uuid.UUID
	Partition             int32
	Next                  int64
}

// Answer is a stored answer to a POST /orders with an Idempotency-Key. Scope includes the caller:
// keys of different callers never collide.
type Answer struct {
	Scope, Key, OrderID string
	Status              int
}

// Projection is the read models in a comparable form.
type Projection struct {
	Orders   map[string]ProjectedOrder
	Timeline map[string]map[uuid.UUID]string // order → event id → type
	Revenue  map[string]Revenue              // "2026-11-25 GBP" → sums
	Versions Versions
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

// Equal reports whether both days received and refunded the same amounts.
func (r Revenue) Equal(o Revenue) bool {
	return r.Captured.Equal(o.Captured) && r.Refunded.Equal(o.Refunded) && r.Payments == o.Payments && r.Refunds == o.Refunds
}

// Finding is the result of one invariant.
type Finding struct {
	Invariant  string   // "I1"
	Title      string   // the invariant in a few words
	Counted    string   // what was checked, with figures
	Breaches   []string // each names the order, SKU or event
	NotChecked bool     // it needs events that could not be decoded
}

// OK reports whether the invariant is kept.
func (f Finding) OK() bool { return len(f.Breaches) == 0 && !f.NotChecked }

// Check checks every invariant, in order. It does not check those that need decoded events if the
// facts lack one: missing events would look lost or different only here.
func Check(f Facts) []Finding {
	findings := []Finding{
		money(f), stock(f), terminal(f), published(f), effects(f), versions(f),
		settled(f), answers(f), streams(f), projection(f), resubmissions(f), sagas(f),
	}
	if len(f.Undecoded) == 0 {
		return findings
	}
	for i, r := range findings {
		switch r.Invariant {
		case "I4", "I6", "I7", "I10", "I12":
			findings[i] = Finding{Invariant: r.Invariant, Title: r.Title, NotChecked: true,
				Counted: fmt.Sprintf("not checked: %d events could not be decoded", len(f.Undecoded))}
		}
	}
	return findings
}
