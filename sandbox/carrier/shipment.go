package carrier

import "time"

// Status is the state of a shipment.
type Status string

// The states of a shipment. Scheduled leads to dispatched and then delivered, or to cancelled.
// Refused and cancelled are final, and so is delivered.
const (
	StatusScheduled  Status = "scheduled"
	StatusRefused    Status = "refused"
	StatusCancelled  Status = "cancelled"
	StatusDispatched Status = "dispatched"
	StatusDelivered  Status = "delivered"
)

// Name is the carrier's name in its answers.
const Name = "sandbox-express"

// entry is one line of the journal: the new status of a key and, in the first entry of a key, the
// request.
type entry struct {
	At     time.Time `json:"at"`
	Key    string    `json:"key"`
	Status Status    `json:"status"`

	Request     *shipmentRequest `json:"request,omitempty"`
	OrderID     string           `json:"orderId,omitempty"`
	CustomerID  string           `json:"customerId,omitempty"`
	Code        string           `json:"code,omitempty"`
	Fingerprint string           `json:"fingerprint,omitempty"`
	// DispatchAt and DeliverAt are the times at which a scheduled parcel moves. They are stored at
	// scheduling, so that a restart with other delays does not change the parcels already taken.
	DispatchAt time.Time `json:"dispatchAt,omitzero"`
	DeliverAt  time.Time `json:"deliverAt,omitzero"`
}

// Shipment is the state of one idempotency key. A key that was cancelled before it was scheduled
// has one too, which refuses a shipment that arrives late.
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

// Update is one line of the tracking feed. Seq rises, has gaps and is never used twice.
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

// due is a parcel and the time of its next step.
type due struct {
	at       time.Time
	from     Status // the status before the step; the step is stale in any other status
	shipment *Shipment
}

// dueHeap is a container/heap of parcels, earliest first.
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
