// Package saga tells what is under way in the shop, what holds it up, and sets it going
// again. An order's saga is spread over the services, so it asks several of them: the
// order service for what has not ended, the operator APIs for dead letters, parked keys
// and breakers, payment for money that could not be given back.
//
// It guarantees that what it says to hold an order was so when it asked; it is a look at
// a moving system, not a snapshot. It keeps nothing. A service that does not answer
// leaves out what it would have said and is named; without the order service there is no
// list.
package saga

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

// Statuses of an order that matter here.
const (
	pending    = "PENDING"
	confirmed  = "CONFIRMED"
	shipped    = "SHIPPED"
	cancelling = "CANCELLING"
)

// grace is how long an order whose deadline has passed may take to be cancelled before
// it counts as stuck: the deadline is noticed within half a second, and then shipping and
// payment have to answer.
const grace = 30 * time.Second

// sideBySide bounds how many orders are asked about at once.
const sideBySide = 8

// Endpoints are the base URLs of the services' APIs.
type Endpoints struct{ Order, Payment, Inventory string }

// Shop is what this package asks. It is made by New.
type Shop struct {
	order, payment, inventory ops.API
	fleet                     *ops.Fleet
	now                       func() time.Time
}

// New returns a Shop. now is the clock; nil is time.Now.
func New(ep Endpoints, fleet *ops.Fleet, now func() time.Time) *Shop {
	if now == nil {
		now = time.Now
	}
	return &Shop{
		order: ops.NewAPI(ep.Order, nil), payment: ops.NewAPI(ep.Payment, nil), inventory: ops.NewAPI(ep.Inventory, nil),
		fleet: fleet, now: now,
	}
}

// Cause says why a person has to look.
type Cause struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// Saga is an order and what holds it up.
type Saga struct {
	OrderID        string    `json:"orderId"`
	Version        int64     `json:"version"`
	Status         string    `json:"status"`
	NeedsAttention bool      `json:"needsAttention"`
	Attention      *Cause    `json:"attention,omitempty"`
	PlacedAt       time.Time `json:"placedAt"`
	ConfirmBy      time.Time `json:"confirmBy"`          // the saga's deadline
	ChangedAt      time.Time `json:"changedAt,omitzero"` // when it last moved; unknown of an order that has ended
	Overdue        bool      `json:"overdue"`            // its deadline has passed and it does not move
	Holds          []Hold    `json:"heldBy"`             // what holds it up
	RefundFailed   bool      `json:"refundFailed"`       // payment waits for somebody to retry the refund
}

// Stuck tells whether it will not go on without somebody, or not now.
func (s Saga) Stuck() bool { return s.Overdue || len(s.Holds) > 0 }

// Kinds of holds.
const (
	DeadLetter   = "dead letter"   // an open dead letter has the order's key
	ParkedKey    = "parked key"    // a record of the order is being retried
	RefundFailed = "refund failed" // the money could not be given back
	BreakerOpen  = "breaker"       // calls to the gateway or the carrier are refused
)

// Hold is one thing that holds an order up.
type Hold struct {
	Kind   string     `json:"kind"`
	Group  string     `json:"group"`           // the service, or the process that a breaker is in
	ID     string     `json:"id,omitempty"`    // of the dead letter
	Topic  string     `json:"topic,omitempty"` // of the record
	Type   string     `json:"type,omitempty"`  // of the event, or the breaker's name
	Detail string     `json:"detail,omitempty"`
	Next   *time.Time `json:"next,omitempty"` // when it will be tried again by itself
}

// get asks a service about one order. ok is false when it knows of none.
func get(ctx context.Context, api ops.API, path, orderID string, out any) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // a frozen process accepts and says nothing
	defer cancel()
	err = api.Call(ctx, http.MethodGet, path+url.PathEscape(orderID), nil, nil, out)
	if ops.StatusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// underWay lists the orders that have not ended or need attention, oldest first.
func (s *Shop) underWay(ctx context.Context, f Filter) ([]Saga, error) {
	var all []Saga
	query := url.Values{"limit": {strconv.Itoa(ops.MaxPage)}}
	if f.NeedsAttention {
		query.Set("needsAttention", "true")
	}
	if f.OlderThan > 0 {
		query.Set("placedBefore", s.now().Add(-f.OlderThan).UTC().Format(time.RFC3339Nano))
	}
	for {
		var page struct {
			Sagas      []Saga
			NextCursor string
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := s.order.Call(ctx, http.MethodGet, "/sagas", query, nil, &page)
		cancel()
		if err != nil {
			return nil, err
		}
		all = append(all, page.Sagas...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}
