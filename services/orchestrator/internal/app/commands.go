package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// commandOf builds a command from the row after the step. A saga that has not turned back sends
// CancelShipment to have a late request rejected; the request has its reason.
func commandOf(effect orchestrator.Effect, row db.Saga, in Input, at time.Time) (event.Event, error) {
	id, reason := row.OrderID, cmp.Or(row.Reason, in.Reason)
	switch effect {
	case orchestrator.ChargePayment:
		return events.ChargePayment{
			OrderID: id, CustomerID: row.CustomerID, Amount: row.TotalAmount, Currency: row.Currency, OccurredAt: at,
		}, nil
	case orchestrator.RefundPayment:
		return events.RefundPayment{OrderID: id, Reason: reason, OccurredAt: at}, nil
	case orchestrator.ReserveInventory:
		items, err := stored[[]Item](row.Items, "items", id)
		return events.ReserveInventory{OrderID: id, Items: toReserve(items), OccurredAt: at}, err
	case orchestrator.ReleaseInventory:
		return events.ReleaseInventory{OrderID: id, Reason: reason, OccurredAt: at}, nil
	case orchestrator.ScheduleShipment:
		return scheduleShipment(row, at)
	case orchestrator.CancelShipment:
		return events.CancelShipment{OrderID: id, Reason: reason, OccurredAt: at}, nil
	case orchestrator.ConfirmOrder:
		return events.ConfirmOrder{OrderID: id, TrackingID: row.TrackingID, OccurredAt: at}, nil
	case orchestrator.CancelOrder:
		return events.CancelOrder{OrderID: id, Reason: row.Reason, Detail: row.Detail, OccurredAt: at}, nil
	}
	return nil, errs.New(errs.Internal, "no command for %s", effect)
}

func scheduleShipment(row db.Saga, at time.Time) (event.Event, error) {
	items, err := stored[[]Item](row.Items, "items", row.OrderID)
	if err != nil {
		return nil, err
	}
	address, err := stored[Address](row.Address, "address", row.OrderID)
	if err != nil {
		return nil, err
	}
	command := events.ScheduleShipment{
		OrderID: row.OrderID, CustomerID: row.CustomerID, Address: events.DeliveryAddress(address), OccurredAt: at,
	}
	for _, it := range items {
		command.Items = append(command.Items, events.ParcelItem{SKU: it.SKU, Quantity: it.Quantity})
	}
	return command, nil
}

// toReserve adds the lines of one SKU, which inventory reserves together, in the order of the SKUs. A sum
// of more than 32 bits, which the order service accepts for no order, stays two lines.
func toReserve(items []Item) []events.ItemToReserve {
	var out []events.ItemToReserve
	for _, it := range items {
		i := slices.IndexFunc(out, func(have events.ItemToReserve) bool {
			sum := int64(have.Quantity) + int64(it.Quantity)
			return have.SKU == it.SKU && sum <= math.MaxInt32 && sum >= math.MinInt32
		})
		if i < 0 {
			out = append(out, events.ItemToReserve(it))
			continue
		}
		out[i].Quantity += it.Quantity
	}
	slices.SortStableFunc(out, func(a, b events.ItemToReserve) int { return cmp.Compare(a.SKU, b.SKU) })
	return out
}

// stored decodes a column of the row.
func stored[T any](column []byte, what, orderID string) (v T, err error) {
	if err := json.Unmarshal(column, &v); err != nil {
		return v, errs.Wrap(errs.Internal, err, "decode the stored "+what+" of order "+orderID)
	}
	return v, nil
}

// commandID returns the event id of a saga's command: a UUIDv7 whose random part is a hash of the order
// and the command's number. So deciding stays pure: the same history leads to the same ids.
func commandID(orderID string, version int64, at time.Time) uuid.UUID {
	sum := sha256.Sum256(fmt.Appendf(nil, "command %d of the saga of order %s", version, orderID))
	var id uuid.UUID
	copy(id[:], sum[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = 0x70 | id[6]&0x0f // version 7
	id[8] = 0x80 | id[8]&0x3f // the variant of RFC 9562
	return id
}
