package order

import (
	"encoding/json"
	"slices"
	"time"
)

// The domain events of a draft. A stream that begins with DraftStarted is a draft until DraftPlaced,
// which OrderCreated follows, or DraftDiscarded.
type (
	DraftStarted struct {
		OrderID   string    `json:"orderId"`
		Customer  Customer  `json:"customer"`
		Currency  string    `json:"currency"` // ISO 4217
		Channel   Channel   `json:"channel,omitempty"`
		StartedAt time.Time `json:"startedAt"`
	}
	DraftItemAdded Item
	// DraftItemChanged replaces the line of the same SKU.
	DraftItemChanged Item
	DraftItemRemoved struct {
		SKU string `json:"sku"`
	}
	DraftAddressChanged Address
	// DraftDiscarded ends a draft: its customer gave it up, or did not change it for long.
	DraftDiscarded Cause
	DraftPlaced    struct{}
)

func (DraftStarted) Name() string        { return "DraftStarted" }
func (DraftItemAdded) Name() string      { return "DraftItemAdded" }
func (DraftItemChanged) Name() string    { return "DraftItemChanged" }
func (DraftItemRemoved) Name() string    { return "DraftItemRemoved" }
func (DraftAddressChanged) Name() string { return "DraftAddressChanged" }
func (DraftDiscarded) Name() string      { return "DraftDiscarded" }
func (DraftPlaced) Name() string         { return "DraftPlaced" }

// DraftEvents lists the names of the events of drafts.
func DraftEvents() []string {
	return []string{"DraftStarted", "DraftItemAdded", "DraftItemChanged", "DraftItemRemoved", "DraftAddressChanged", "DraftDiscarded", "DraftPlaced"}
}

// decodeDraft is [Decode] for the events of drafts. ok is false for other names.
func decodeDraft(name string, data json.RawMessage) (e Event, ok bool, err error) {
	switch name {
	case "DraftStarted":
		e, err = decode[DraftStarted](name, data)
	case "DraftItemAdded":
		e, err = decode[DraftItemAdded](name, data)
	case "DraftItemChanged":
		e, err = decode[DraftItemChanged](name, data)
	case "DraftItemRemoved":
		e, err = decode[DraftItemRemoved](name, data)
	case "DraftAddressChanged":
		e, err = decode[DraftAddressChanged](name, data)
	case "DraftDiscarded":
		e, err = decode[DraftDiscarded](name, data)
	case "DraftPlaced":
		e, err = decode[DraftPlaced](name, data)
	default:
		return nil, false, nil
	}
	return e, true, err
}

// applyDraft is [Order.Apply] for the events of drafts, without the version. Orders are values: two
// folds may share a prefix, so items are copied before they are changed.
func (o Order) applyDraft(e Event) Order {
	switch e := e.(type) {
	case DraftStarted:
		o.ID, o.State, o.Customer, o.Currency = e.OrderID, Draft, e.Customer, e.Currency
		o.Channel, o.PlacedAt = e.Channel, e.StartedAt
	case DraftItemAdded:
		o.Items = append(o.Items[:len(o.Items):len(o.Items)], Item(e))
	case DraftItemChanged:
		o.Items = slices.Clone(o.Items)
		o.Items[o.line(e.SKU)] = Item(e)
	case DraftItemRemoved:
		o.Items = slices.DeleteFunc(slices.Clone(o.Items), func(i Item) bool { return i.SKU == e.SKU })
	case DraftAddressChanged:
		o.Address = Address(e)
	case DraftDiscarded:
		o.State, o.Cancelled = Discarded, &Cause{e.Reason, e.Detail}
	}
	o.TotalAmount, _ = sum(o.Items)
	return o
}

// line returns the index of the SKU's item, or -1.
func (o Order) line(sku string) int {
	return slices.IndexFunc(o.Items, func(i Item) bool { return i.SKU == sku })
}
