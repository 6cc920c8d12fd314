// Package saga reports which sagas are under way, what blocks them, and restarts them. An order's
// saga is spread over the services, so the package asks several of them: the order service for the
// orders that have not ended; the operator APIs for dead letters, parked keys and breakers; the
// payment service for money that could not be returned or waits for its return; the orchestrator for
// orchestrated sagas that ask for attention, and the participants for what they ask; and the services'
// outboxes for events that the relays have not published.
//
// Each reported hold was true when the package asked. The report is not a snapshot: the system
// moves while it is read. The package stores nothing. If a service does not answer, the report
// lacks its part and names it. Without the order service there is no list.
package saga

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
)

// Statuses of an order that this package distinguishes.
const (
	pending    = "PENDING"
	confirmed  = "CONFIRMED"
	shipped    = "SHIPPED"
	cancelling = "CANCELLING"
)

// grace is how long after its deadline an order may take to be cancelled before it counts as stuck.
// The order service notices the deadline within half a second; then shipping and payment have to
// answer. It is also how long a command that an operator had sent again may take to be answered.
const grace = 30 * time.Second

// sideBySide bounds how many orders are queried in parallel.
const sideBySide = 8

// Endpoints are the base URLs of the services' APIs and the URLs of their databases, by service
// name. The package does not read the outbox of a service without a database URL.
type Endpoints struct {
	Order, Payment, Inventory string
	Shipping, Orchestrator    string // may be "": a shop of the release before has no orchestrator
	Databases                 map[string]string
}

// Shop reads sagas from a running shop. Create it with [New].
type Shop struct {
	order, payment, inventory jsonhttp.Client
	shipping, orchestrator    *jsonhttp.Client // nil: not asked
	databases                 map[string]string
	fleet                     *operators.Fleet
	now                       func() time.Time
}

// New returns a Shop. now is the clock; nil is time.Now.
func New(ep Endpoints, fleet *operators.Fleet, now func() time.Time) *Shop {
	if now == nil {
		now = time.Now
	}
	maybe := func(base string) *jsonhttp.Client {
		if base == "" {
			return nil
		}
		c := jsonhttp.New(base, nil)
		return &c
	}
	return &Shop{
		shipping: maybe(ep.Shipping), orchestrator: maybe(ep.Orchestrator),
		order: jsonhttp.New(ep.Order, nil), payment: jsonhttp.New(ep.Payment, nil), inventory: jsonhttp.New(ep.Inventory, nil),
		databases: ep.Databases, fleet: fleet, now: now,
	}
}

// Cause is why an order needs an operator.
type Cause struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// Saga is an order and what blocks it.
type Saga struct {
	OrderID        string    `json:"orderId"`
	Version        int64     `json:"version"`
	Status         string    `json:"status"`
	Style          string    `json:"saga,omitempty"` // choreographed or orchestrated; "" of a service of the release before
	NeedsAttention bool      `json:"needsAttention"`
	Attention      *Cause    `json:"attention,omitempty"`
	PlacedAt       time.Time `json:"placedAt"`
	ConfirmBy      time.Time `json:"confirmBy"`          // the saga's deadline
	UpdatedAt      time.Time `json:"updatedAt,omitzero"` // when it last moved; unknown for an order that has ended
	Overdue        bool      `json:"overdue"`            // its deadline has passed and it does not move
	Holds          []Hold    `json:"heldBy"`             // what blocks it
	RefundFailed   bool      `json:"refundFailed"`       // payment waits for an operator to retry the refund
}

// Stuck reports whether the order does not continue without an operator, or not at present.
func (s Saga) Stuck() bool { return s.Overdue || len(s.Holds) > 0 }

// Kinds of holds.
const (
	DeadLetter   = "dead letter"   // an open dead letter has the order's key
	ParkedKey    = "parked key"    // a record of the order is being retried
	RefundFailed = "refund failed" // the money could not be given back
	BreakerOpen  = "breaker"       // calls to the gateway or the carrier are refused
	CallsFail    = "calls fail"    // calls to them fail, not often enough for the breaker yet
	Returning    = "returning"     // the gateway has not stopped the charge or taken the money back yet
	NotRelayed   = "not relayed"   // an event of the order is in the outbox and on no topic
	Asks         = "attention"     // the orchestrator, or a participant, cannot go on without a person
	Late         = "late"          // a service has not answered an event of the order for longer than it should take
)

// Hold is one reason why an order does not continue.
type Hold struct {
	Kind   string `json:"kind"`
	Group  string `json:"group"`           // the service, or the process that a breaker is in
	ID     string `json:"id,omitempty"`    // of the dead letter
	Topic  string `json:"topic,omitempty"` // of the record
	Type   string `json:"type,omitempty"`  // of the event, the breaker's name, or the state of payment, participant or saga; "" of a late order: not known
	Detail string `json:"detail,omitempty"`
	// Attempts counts the failed attempts; for breakers and failing calls, the failures in a row; for
	// a saga, how often its command was sent.
	Attempts int        `json:"attempts,omitempty"`
	Next     *time.Time `json:"next,omitempty"`  // when it will be retried without an operator
	Since    *time.Time `json:"since,omitempty"` // of a late order: its newest event
}

// ask calls a service. It does not wait long: a frozen process accepts connections and does not answer.
func ask(ctx context.Context, api jsonhttp.Client, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return api.Call(ctx, method, path, query, in, out)
}

// act has a service do something for an operator. It waits longer than [ask], because the service may have
// done it when the wait ends. A key that comes again has the effect of one.
func act(ctx context.Context, api jsonhttp.Client, path, key, actor string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return api.Call(ctx, http.MethodPost, path, nil, in, out, "Idempotency-Key", key, "X-Caller-Id", actor)
}

// get reads a service's view of one order. ok is false if the service has none.
func get(ctx context.Context, api jsonhttp.Client, path, orderID string, out any) (ok bool, err error) {
	err = ask(ctx, api, http.MethodGet, path+url.PathEscape(orderID), nil, nil, out)
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// underWay lists the orders that have not ended or need attention, oldest first.
func (s *Shop) underWay(ctx context.Context, f Filter) ([]Saga, error) {
	var all []Saga
	query := url.Values{"limit": {strconv.Itoa(operators.MaxPage)}}
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
		if err := ask(ctx, s.order, http.MethodGet, "/sagas", query, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Sagas...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}
