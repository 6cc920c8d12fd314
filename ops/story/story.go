package story

import (
	"encoding/json"
	"time"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
)

// Story is everything known about one order. Its JSON is stable: fields are added, not changed.
type Story struct {
	OrderID     string              `json:"orderId"`
	At          time.Time           `json:"at"`              // when the sources were read
	Order       *Order              `json:"order,omitempty"` // missing if the order service does not answer
	Style       string              `json:"style"`           // of the saga: choreographed or orchestrated
	Saga        *saga.Coordinated   `json:"saga,omitempty"`  // the orchestrator's view, if the saga is orchestrated
	Ended       bool                `json:"ended"`           // delivered or cancelled
	Events      []Event             `json:"events"`          // causes before effects, else by time
	Money       Money               `json:"money"`
	Stock       *Stock              `json:"stock,omitempty"`
	Parcel      *Parcel             `json:"parcel,omitempty"`
	Mail        *Mail               `json:"mail,omitempty"` // missing too if the customer gets none, or not yet
	Retries     []Retry             `json:"retries"`        // records that were retried, oldest first
	DeadLetters []operators.Summary `json:"deadLetters"`    // of any status, oldest first
	WaitsFor    []Wait              `json:"waitsFor"`
	HeldBy      []saga.Hold         `json:"heldBy"` // holds that are not among the reasons of WaitsFor
	Missing     []string            `json:"missing,omitempty"`
}

// Order is the order service's view.
type Order struct {
	Status         string      `json:"status"`
	Style          string      `json:"saga,omitempty"` // of its saga; "" of a service of the release before
	Version        int64       `json:"version"`
	TotalAmount    json.Number `json:"totalAmount"`
	Currency       string      `json:"currency"`
	PlacedAt       time.Time   `json:"placedAt"`
	ConfirmBy      time.Time   `json:"confirmBy"` // the saga's deadline
	NeedsAttention bool        `json:"needsAttention"`
	Attention      *saga.Cause `json:"attention,omitempty"`
	Cancellation   *saga.Cause `json:"cancellation,omitempty"` // why it is being cancelled, or was cancelled
}

// Event is one event of the order, a command of its saga included, or a record with its key that is
// not an event.
type Event struct {
	N         int             `json:"n"` // its place in the story, from 1
	ID        string          `json:"id,omitempty"`
	Type      string          `json:"type,omitempty"` // "" for a record that is not an event
	Service   string          `json:"service,omitempty"`
	Topic     string          `json:"topic"`
	Version   int64           `json:"version,omitempty"` // of its aggregate
	At        time.Time       `json:"at"`                // occurredAt, or else the time in the envelope
	Style     string          `json:"style,omitempty"`   // of its saga, as its envelope says
	Cause     Cause           `json:"cause"`
	DelayMS   *float64        `json:"delayMs,omitempty"`   // since the cause; negative if clocks differ
	Published bool            `json:"published"`           // false: it is in an outbox and on no topic yet
	Copies    []Place         `json:"copies"`              // its places, by offset; more than one: duplicates
	Data      json.RawMessage `json:"data,omitempty"`      // its fields by the writer's schema
	Problem   string          `json:"problem,omitempty"`   // why it is not an event, or not one of this order
	DataError string          `json:"dataError,omitempty"` // why data is missing
	SchemaID  int             `json:"schemaId,omitempty"`  // in the registry
	Trace     string          `json:"trace,omitempty"`     // W3C traceparent
	Correlate string          `json:"correlationId"`       // the same for everything that one request causes
	recorded  time.Time       // the envelope's time, by which events are sorted
	causation string          // the header
	value     []byte          // of the record
	ours      bool            // an outbox has it: it is not a foreign record
}

// counts reports whether the event is known to belong to the order: its value says so, or an outbox
// has it. A record that cannot be decoded may be anything, whatever its headers say.
func (e Event) counts() bool { return e.Problem == "" && (e.Data != nil || e.ours) }

// doubtful reports whether the event may belong to the order and only a registry that does not
// answer leaves this open.
func (e Event) doubtful() bool { return e.Problem == "" && !e.counts() }

// Place is the position of a copy.
type Place struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	At        time.Time `json:"at"` // the record's own time
}

// Kinds of causes.
const (
	ByEvent   = "event"   // of this story
	ByOutside = "outside" // nothing within the shop: a request, the deadline or the carrier
	ByUnknown = "unknown" // an event that is not in the story
	ByNone    = "none"    // the record does not name it
)

// Cause is what caused an event.
type Cause struct {
	Kind string `json:"kind"`
	N    int    `json:"n,omitempty"`    // of the event
	ID   string `json:"id,omitempty"`   // of the event, also if it is unknown
	Type string `json:"type,omitempty"` // of the event; or request, deadline, carrier
}

// Money is the view of the gateway's books and of the payment service. Each part is missing if it
// has nothing of the order or did not answer (see Missing).
type Money struct {
	Gateway *Charge  `json:"gateway,omitempty"`
	Payment *Payment `json:"payment,omitempty"`
}

// Charge is the gateway's view of the order.
type Charge struct {
	Status      string      `json:"status"` // captured, declined, voided
	Amount      json.Number `json:"amount"`
	Refunded    json.Number `json:"refunded"`
	Currency    string      `json:"currency,omitempty"`
	DeclineCode string      `json:"declineCode,omitempty"`
}

// Payment is the payment service's view.
type Payment struct {
	Status        string      `json:"status"`
	Amount        json.Number `json:"amount,omitempty"`
	Captured      json.Number `json:"captured,omitempty"`
	Refunded      json.Number `json:"refunded,omitempty"`
	Currency      string      `json:"currency,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	DeclineCode   string      `json:"declineCode,omitempty"`
	Attempts      int         `json:"attempts"`
	NextAttemptAt *time.Time  `json:"nextAttemptAt,omitempty"`
	LastError     string      `json:"lastError,omitempty"`
}

// Stock is the inventory service's reservation.
type Stock struct {
	Status string `json:"status"`
	Items  []Item `json:"items"`
}

// Item is a SKU and a number of pieces.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Parcel is the shipping service's shipment.
type Parcel struct {
	Status     string `json:"status"`
	Carrier    string `json:"carrier,omitempty"`
	TrackingID string `json:"trackingId,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Detail     string `json:"detail,omitempty"`
}

// Mail is the notification service's mail to the customer.
type Mail struct {
	Status   string     `json:"status"`          // AWAITING_ORDER_PLACED, AWAITING_ORDER_CREATED, TO_SEND, SENT, REFUSED
	Style    string     `json:"style,omitempty"` // notification or state
	To       string     `json:"to,omitempty"`
	Subject  string     `json:"subject,omitempty"`
	Attempts int        `json:"attempts"`
	EndedAt  *time.Time `json:"endedAt,omitempty"` // when the mailbox confirmed or refused it
	Reason   string     `json:"reason,omitempty"`  // why it was refused
	Detail   string     `json:"detail,omitempty"`  // why the latest attempt failed
}

// Retry is a record that a group failed to handle and put on its retry topic.
type Retry struct {
	Group    string    `json:"group"`
	Topic    string    `json:"topic"` // the original one
	Type     string    `json:"type"`
	Attempts int       `json:"attempts"` // failed so far
	Class    string    `json:"class,omitempty"`
	Error    string    `json:"error,omitempty"`
	At       time.Time `json:"at"`       // of the failure, or of the retry record
	Due      time.Time `json:"due"`      // of the next attempt
	Resubmit bool      `json:"resubmit"` // an operator resubmitted a dead letter
}

// Wait is one thing that the order waits for: a service's action on an event.
type Wait struct {
	Service string      `json:"service"`          // order, payment, inventory, shipping, orchestrator; or carrier, operator
	To      string      `json:"to"`               // "answer", "publish", "dispatch the parcel", …
	Event   string      `json:"event,omitempty"`  // the type of the event that the action is for
	N       int         `json:"n,omitempty"`      // and its place in the story
	Because []saga.Hold `json:"because"`          // the known reasons why the service does not act
	By      *time.Time  `json:"before,omitempty"` // the order's deadline, while it applies
}

// Status returns the order's status, or "" while it is unknown.
func (s Story) Status() string {
	if s.Order == nil {
		return ""
	}
	return s.Order.Status
}
