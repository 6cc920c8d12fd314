package carrier

import "time"

// Status is the state of a shipment.
type Status string

// The states of a shipment: scheduled goes on to dispatched and delivered, or to
// cancelled. Refused and cancelled are final.
const (
	StatusScheduled  Status = "scheduled"
	StatusRefused    Status = "refused"
	StatusCancelled  Status = "cancelled"
	StatusDispatched Status = "dispatched"
	StatusDelivered  Status = "delivered"
)

// Name is the carrier's name as its answers give it.
const Name = "sandbox-express"

// entry is one line of the journal: the status a key got and, for the first one, what
// was asked.
type entry struct {
	At     time.Time `json:"at"`
	Key    string    `json:"key"`
	Status Status    `json:"status"`

	Request     *shipmentRequest `json:"request,omitempty"`
	OrderID     string           `json:"orderId,omitempty"`
	CustomerID  string           `json:"customerId,omitempty"`
	Code        string           `json:"code,omitempty"`
	Fingerprint string           `json:"fingerprint,omitempty"`
	// DispatchAt and DeliverAt are when a scheduled parcel is due. They are written
	// down at scheduling, so that a restart, even with other delays, changes nothing
	// for parcels already taken.
	DispatchAt time.Time `json:"dispatchAt,omitzero"`
	DeliverAt  time.Time `json:"deliverAt,omitzero"`
}

// Shipment is the state of one idempotency key. A key cancelled before it was ever
// scheduled has one too: it is what refuses a shipment that arrives late.
type Shipment struct {
	ShipmentID string `json:"shipmentId,omitempty"`
	TrackingID string `json:"trackingId,omitempty"`
	Key        string `json:"key"`
	OrderID    string `json:"orderId,omitempty"`
	Status     Status `json:"status"`
	Carrier    string `json:"carrier"`
	// Code is the reason of a refusal.
	Code         string    `json:"code,omitempty"`
	DispatchedAt time.Time `json:"dispatchedAt,omitzero"`
	DeliveredAt  time.Time `json:"deliveredAt,omitzero"`

	customerID  string
	fingerprint string
	dispatchAt  time.Time
	deliverAt   time.Time
}

// Update is one line of the tracking feed. Seq rises and is never used twice; it has
// gaps.
type Update struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Key        string    `json:"key"`
	OrderID    string    `json:"orderId"`
	ShipmentID string    `json:"shipmentId"`
	TrackingID string    `json:"trackingId"`
	Carrier    string    `json:"carrier"`
	Status     Status    `json:"status"`
}

// due is a parcel and when something happens to it next.
type due struct {
	at       time.Time
	from     Status // the status the step starts from; in any other the step is stale
	shipment *Shipment
}

// dueHeap is a container/heap of parcels, the earliest first.
type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	item := (*h)[last]
	*h = (*h)[:last]
	return item
}
